"""The two-person rule: another person decides, and what is approved happens exactly once."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.errors import CheckViolation, InsufficientPrivilege, RaiseException
from starlette.requests import Request

from api.access import approvals, proposals
from api.caller import Caller
from api.problems import Problem
from api.scopes import Scope
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from ledger.errors import DatabaseUnavailable
from tests.api.access.callers import Api, code_of
from tests.api.conftest import PLAY_SECONDS, PROGRAM

Play = Callable[..., Any]

LARGE = 20_000


class Office:
    """An agent and two approvers."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.member = f"m-{uuid4().hex[:8]}"

    async def open(self) -> "Office":
        self.agent = (await self.api.key(roles=["agent"], person="agnes")).secret
        self.anna = (await self.api.key(roles=["approver", "agent"], person="anna")).secret
        self.boris = (await self.api.key(roles=["approver"], person="boris")).secret
        return self

    async def adjust(self, points: int, key: str = "k-1", secret: str = "", **more: Any) -> Any:
        return await self.api.call(
            "POST",
            f"/v1/members/{self.member}/adjustments",
            secret or self.agent,
            json={"points": points, "reason": "spoilt"} | more,
            headers={"Idempotency-Key": key},
        )

    async def decide(self, proposal: str, secret: str, what: str = "approve") -> Any:
        body = {"reason": "no"} if what == "reject" else None
        return await self.api.call("POST", f"/v1/proposals/{proposal}/{what}", secret, json=body)

    async def available(self) -> int:
        account = await self.api.app.state.points.ledger.account(self.member)
        return int(account.balances().available)

    async def events(self) -> int:
        async with self.api.layer.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM ledger.events WHERE member_id = %s", (self.member,)
            )
            row = await cursor.fetchone()
            assert row is not None
            return int(row[0])


def test_within_the_limit_nothing_waits(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        assert (await office.adjust(10_000)).status_code == 200
        assert await office.available() == 10_000

    play(story)


def test_a_large_adjustment_waits_for_another_person(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        answer = await office.adjust(LARGE)
        assert answer.status_code == 202
        proposal = answer.json()
        assert answer.headers["location"] == f"/v1/proposals/{proposal['id']}"
        assert proposal["state"] == "open"
        assert await office.events() == 0
        again = await office.adjust(LARGE)
        assert (again.status_code, again.json()["id"]) == (202, proposal["id"])
        assert code_of(await office.adjust(LARGE + 1)) == (409, "conflict")
        assert code_of(await office.adjust(1)) == (409, "conflict")
        approved = (await office.decide(proposal["id"], office.boris)).json()
        assert approved["state"] == "done"
        assert approved["result"]["outcome"] == "applied"
        assert approved["content"]["actor"].startswith("key:")
        assert await office.available() == LARGE
        after = await office.adjust(LARGE)
        assert (after.status_code, after.json()["state"]) == (202, "done")
        more = (await office.decide(proposal["id"], office.anna)).json()
        assert more["state"] == "done"
        assert await office.available() == LARGE
        assert await office.events() == 1

    play(story)


def test_points_taken_wait_too(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        assert (await office.adjust(-LARGE, allow_debt=True)).status_code == 202

    play(story)


def test_one_caller_does_not_take_all_the_room(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "OPEN_EACH_MAX", 2)

    async def story(api: Api) -> None:
        office = await Office(api).open()
        other = (await api.key(roles=["agent"], person="agnes-too")).secret
        same = (await api.key(roles=["agent"], person="agnes-too")).secret
        waits = [await office.adjust(LARGE, f"each-{n}", other) for n in range(3)]
        assert [answer.status_code for answer in waits] == [202, 202, 429]
        assert code_of(waits[2]) == (429, "too_many_own_proposals")
        assert (await office.adjust(LARGE, "each-0", other)).status_code == 202, "made before"
        answer = await office.adjust(LARGE, "each-9", same)
        assert code_of(answer) == (429, "too_many_own_proposals")
        third = (await api.key(roles=["agent"], person="agnes-third")).secret
        made = await office.adjust(LARGE, "each-0", third)
        assert made.status_code == 202
        monkeypatch.setattr(proposals, "OPEN_MAX", 1)
        answer = await office.adjust(LARGE, "each-10", third)
        assert code_of(answer) == (503, "too_many_proposals")
        for each in (*waits[:2], made):
            assert (await office.decide(each.json()["id"], office.boris)).status_code == 200

    play(story)


def test_whoever_proposed_does_not_approve(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        proposal = (await office.adjust(LARGE, secret=office.anna)).json()["id"]
        for what in ("approve", "reject"):
            answer = await office.decide(proposal, office.anna, what)
            assert code_of(answer) == (403, "same_person")
        # With another key of hers neither.
        other = (await api.key(roles=["approver"], person="anna")).secret
        assert code_of(await office.decide(proposal, other)) == (403, "same_person")
        assert await office.events() == 0
        rows = await api.trail(code="same_person")
        assert rows[0]["person"] == "anna"
        assert rows[0]["path"] == f"/v1/proposals/{proposal}/approve"
        assert (await office.decide(proposal, office.boris)).json()["state"] == "done"

    play(story)


def test_a_machine_does_not_approve(play: Play, settings: Any) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        proposal = (await office.adjust(LARGE)).json()["id"]
        machine = Caller("key:m", "m", frozenset((Scope.APPROVE,)), None)
        request = Request(
            {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
            | {"server": ("points", 80), "scheme": "http", "client": None, "root_path": ""}
        )
        with pytest.raises(Problem) as refused:
            await api.approvals.approve(request, machine, proposal)
        assert (refused.value.status, refused.value.code) == (403, "person_needed")

    play(story)


def test_turned_down_is_for_good(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        proposal = (await office.adjust(LARGE)).json()["id"]
        answer = await office.decide(proposal, office.boris, "reject")
        assert (answer.json()["state"], answer.json()["reason"]) == ("rejected", "no")
        assert (await office.decide(proposal, office.anna, "reject")).status_code == 200
        assert code_of(await office.decide(proposal, office.anna)) == (409, "proposal_closed")
        assert await office.events() == 0
        assert (await office.adjust(LARGE)).json()["state"] == "rejected"

    play(story)


def test_a_proposal_expires(play: Play, owner: psycopg.Connection[Any]) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        proposal = (await office.adjust(LARGE)).json()["id"]
        owner.execute("ALTER TABLE api.proposals DISABLE TRIGGER proposal_forward")
        owner.execute("UPDATE api.proposals SET expires_at = now() WHERE id = %s", (proposal,))
        owner.execute("ALTER TABLE api.proposals ENABLE TRIGGER proposal_forward")
        assert code_of(await office.decide(proposal, office.boris)) == (409, "proposal_closed")
        told = await api.call("GET", f"/v1/proposals/{proposal}", office.boris)
        assert told.json()["state"] == "expired"
        listed = await api.call("GET", "/v1/proposals?state=expired", office.boris)
        assert proposal in [each["id"] for each in listed.json()["items"]]
        assert await office.events() == 0

    play(story)


def test_what_the_ledger_refuses_is_the_result(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        await office.adjust(5, key="small")
        proposal = (await office.adjust(-LARGE)).json()["id"]
        answer = await office.decide(proposal, office.boris)
        assert answer.status_code == 200
        assert answer.json()["state"] == "failed"
        assert answer.json()["result"]["code"]
        assert await office.available() == 5

    play(story)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_process_that_dies_after_the_approval(
    play: Play, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Before the change was made, or after it and before that was written down: the next process
    makes it, once."""
    members: list[Office] = []

    async def dies(api: Api) -> str:
        office = await Office(api).open()
        members.append(office)
        proposal = str((await office.adjust(LARGE)).json()["id"])

        async def dead(*_: Any) -> None:
            raise DatabaseUnavailable("gone")

        if place == "before":
            monkeypatch.setattr(api.approvals._door, "change", lambda *_, **__: dead())
        else:
            monkeypatch.setattr(proposals, "end", dead)
        answer = await office.decide(proposal, office.boris)
        assert code_of(answer) == (503, "database_unavailable")
        assert await office.events() == (0 if place == "before" else 1)
        return proposal

    proposal = play(dies)
    monkeypatch.undo()

    async def lives(api: Api) -> None:
        member = Office(api)
        member.member = members[0].member
        async with asyncio.timeout(PLAY_SECONDS):
            while (await api.approvals.find(proposal)).state != "done":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await member.available() == LARGE
        assert await member.events() == 1
        assert await api.approvals.resume() == 0

    play(lives)


def test_approved_again_after_a_failure(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        proposal = (await office.adjust(LARGE)).json()["id"]

        async def dead(*_: Any) -> None:
            raise DatabaseUnavailable("gone")

        with monkeypatch.context() as patched:
            patched.setattr(proposals, "end", dead)
            assert (await office.decide(proposal, office.boris)).status_code == 503
        answers = await asyncio.gather(
            *(office.decide(proposal, secret) for secret in (office.boris, office.anna) * 4)
        )
        assert {answer.json()["state"] for answer in answers} == {"done"}
        assert await office.events() == 1
        assert await office.available() == LARGE

    play(story)


def test_many_approve_at_once(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        proposal = (await office.adjust(LARGE)).json()["id"]
        await asyncio.gather(
            *(office.decide(proposal, secret) for secret in (office.boris, office.anna) * 8)
        )
        assert await office.available() == LARGE
        assert await office.events() == 1

    play(story)


def test_the_list_page_by_page(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        made = [(await office.adjust(LARGE, key=f"p-{n}")).json()["id"] for n in range(3)]
        seen: list[str] = []
        cursor = ""
        while len(seen) < 3:
            path = f"/v1/proposals?state=open&limit=1{cursor}"
            page = (await api.call("GET", path, office.agent)).json()
            assert "content" not in page["items"][0]
            seen += [each["id"] for each in page["items"]]
            cursor = f"&cursor={page['next']}"
        assert seen == made[::-1]

    play(story)


def next_program() -> Program:
    program = load_program(PROGRAM.read_text("utf-8"), PROGRAM.name)
    return replace(program, effective_from=datetime.now(UTC) + timedelta(days=1))


def test_a_program_waits_for_another_person(play: Play) -> None:
    async def story(api: Api) -> None:
        office = await Office(api).open()
        ledger = api.app.state.points.ledger
        before = len(ledger.programs.versions)
        mark = Caller("oidc:mark", "oidc:mark", frozenset((Scope.PROGRAMS_WRITE,)), "oidc:mark")
        request = Request({"type": "http", "app": api.app, "method": "POST", "headers": []})
        program = next_program()
        answer = await approvals.propose(request, mark, "program-1", program)
        assert answer.status_code == 202
        again = await approvals.propose(request, mark, "program-1", program)
        assert again.headers["location"] == answer.headers["location"]
        proposal = answer.headers["location"].rpartition("/")[2]
        assert len((await ledger.reload_programs()).versions) == before
        told = (await api.call("GET", f"/v1/proposals/{proposal}", office.boris)).json()
        assert told["content"]["program"] == "tests"
        done = (await office.decide(proposal, office.boris)).json()
        assert (done["state"], done["result"]["published"]) == ("done", True)
        assert len((await ledger.reload_programs()).versions) == before + 1
        # What begins too early by then is refused by the ledger, and that is the result.
        early = replace(program, effective_from=program.effective_from - timedelta(hours=1))
        answer = await approvals.propose(request, mark, "program-2", early)
        failed = await office.decide(answer.headers["location"].rpartition("/")[2], office.boris)
        assert failed.json()["state"] == "failed"
        assert failed.json()["result"]["code"] == "not_after_last_version"

    play(story)


def test_the_database_itself_keeps_the_rule(play: Play, owner: psycopg.Connection[Any]) -> None:
    async def story(api: Api) -> str:
        office = await Office(api).open()
        return str((await office.adjust(LARGE, secret=office.anna)).json()["id"])

    proposal = play(story)
    with owner.transaction(force_rollback=True):
        owner.execute("SET ROLE points_app")
        for change, error in (
            ("status = 'approved', decided_person = 'anna'", CheckViolation),
            ("status = 'approved'", CheckViolation),
            ("status = 'done', decided_person = 'boris'", RaiseException),
            ("content = ''", InsufficientPrivilege),
            ("proposed_person = 'boris'", InsufficientPrivilege),
        ):
            with pytest.raises(error), owner.transaction():
                owner.execute(
                    f"UPDATE api.proposals SET {change} WHERE id = %s".encode(), (proposal,)
                )
        with pytest.raises(InsufficientPrivilege), owner.transaction():
            owner.execute("DELETE FROM api.proposals")
