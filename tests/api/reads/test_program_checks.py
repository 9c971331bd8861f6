"""Checks of programs are one at a time, bounded per caller and in all, and hold nobody else up."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from api import program_checks
from api.program_checks import ProgramChecks
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from tests.api.reads.conftest import PERSON_HEADER, Asking
from tests.api.reads.test_members import get
from tests.api.reads.test_programs import TEXT, YAML

WAIT_SECONDS = 240


class Slow:
    """Reads a program when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.reading = threading.Semaphore(0)
        self.at_once = self.most = 0

    def load(self, text: str, name: str) -> Any:
        """As `load_program`."""
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.reading.release()
        assert self.let.wait(WAIT_SECONDS)
        self.at_once -= 1
        return load_program(text, name)


def test_checks_are_bounded_and_hold_nobody_up(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr(program_checks, "load_program", slow.load)
    each, most = program_checks.EACH_MAX, program_checks.ALL_MAX
    entered = 0
    load = ProgramChecks.load

    async def counted(self: ProgramChecks, text: str, caller: str) -> Program:
        nonlocal entered
        entered += 1
        return await load(self, text, caller)

    monkeypatch.setattr(ProgramChecks, "load", counted)

    async def test(client: httpx.AsyncClient) -> None:
        async def check(person: str) -> httpx.Response:
            headers = {**YAML, PERSON_HEADER: person}
            return await client.post("/v1/program-checks", content=TEXT, headers=headers)

        people = [f"person-{n // each}" for n in range(most)]
        begun = [asyncio.create_task(check(person)) for person in people]
        assert await asyncio.to_thread(slow.reading.acquire, timeout=WAIT_SECONDS)
        for _ in range(20 * WAIT_SECONDS):
            if entered == most:
                break
            await asyncio.sleep(0.05)
        own = await check("person-0")
        assert (own.status_code, own.json()["code"]) == (429, "too_many_own_checks")
        assert own.headers["retry-after"]
        beyond = await check("nobody-yet")
        assert (beyond.status_code, beyond.json()["code"]) == (503, "too_many_checks")
        assert (await get(client, "/programs"))["items"], "others are answered meanwhile"
        slow.let.set()
        answers = await asyncio.gather(*begun)
        assert [answer.json()["ok"] for answer in answers] == [True] * most
        assert slow.most == 1
        assert (await check("person-0")).json()["ok"], "and then there is room again"

    asking(test)
