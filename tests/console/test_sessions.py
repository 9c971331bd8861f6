"""A session that ended asks nothing more, whatever is still open of it."""

import asyncio
import time
from typing import Any

import pytest
from fastapi import FastAPI, Request

from console import sessions as module
from console.asking import Asking, Refused
from console.sessions import AGE_SECONDS, IDLE_SECONDS, Session, Sessions

HOUR = IDLE_SECONDS

PAGE = Request({"type": "http", "client": ("192.0.2.7", 4711), "headers": []})


def begun(sessions: Sessions) -> tuple[str, Session]:
    cookie = sessions.begin("token", "anna", frozenset(), "en")
    session = sessions.find(cookie)
    assert session is not None
    return cookie, session


def api() -> FastAPI:
    app = FastAPI()

    @app.get("/v1/me")
    async def me(request: Request) -> dict[str, Any]:
        return {"address": request.client.host if request.client else None}

    return app


@pytest.fixture
def asking() -> tuple[Sessions, str, Session, Asking]:
    sessions = Sessions()
    cookie, session = begun(sessions)
    return sessions, cookie, session, Asking(api(), session, PAGE)


def refused(asking: Asking) -> bool:
    told: list[bool] = []
    asking.on_ended = lambda: told.append(True)
    try:
        asyncio.run(asking.get("/me"))
    except Refused as error:
        return (error.status, error.code, told) == (401, "signed_out", [True])
    return False


def test_signing_out_in_one_window_ends_the_others(
    asking: tuple[Sessions, str, Session, Asking],
) -> None:
    sessions, cookie, _, ask = asking
    assert not refused(ask)
    sessions.end(cookie)
    assert refused(ask)


def test_the_api_hears_the_persons_own_address(
    asking: tuple[Sessions, str, Session, Asking],
) -> None:
    assert asyncio.run(asking[3].get("/me")) == {"address": "192.0.2.7"}


def test_the_one_not_used_for_longest_is_signed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 2)
    sessions = Sessions()
    _, first = begun(sessions)
    _, second = begun(sessions)
    first.use()
    begun(sessions)
    assert (first.lives(), second.lives()) == (True, False)
    assert refused(Asking(api(), second, PAGE))


def test_clicks_keep_a_session_alive_and_looks_do_not(
    asking: tuple[Sessions, str, Session, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions, cookie, session, ask = asking
    start, passed = time.monotonic(), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: start + passed)
    for _ in range(3):
        passed += HOUR * 0.9
        assert not refused(ask)
    passed += HOUR * 0.9
    asyncio.run(ask.look("/me"))
    assert sessions.find(cookie) is session
    passed += HOUR * 0.2
    assert refused(ask)
    assert sessions.find(cookie) is None


def test_no_session_is_older_than_a_working_day(
    asking: tuple[Sessions, str, Session, Asking],
) -> None:
    _, _, session, ask = asking
    session.began -= AGE_SECONDS + 1
    assert refused(ask)


def test_one_person_cannot_sign_everybody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 10)
    monkeypatch.setattr(module, "PER_PERSON_MAX", 3)
    sessions = Sessions()
    _, other = begun(sessions)
    many = [sessions.begin("token-b", "boris", frozenset(), "en") for _ in range(30)]
    assert other.lives()
    assert [sessions.find(cookie) is not None for cookie in many] == [False] * 27 + [True] * 3
