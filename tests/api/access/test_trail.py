"""The audit trail: what is in it, what never is, and that nobody changes it."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from api.access.layer import clean
from api.access.refusals import KINDS_MAX
from api.access.trail import Note, now
from ledger.errors import DatabaseUnavailable
from tests.api.access.callers import Api, code_of

Play = Callable[..., Any]


def test_a_privileged_call_is_noted_before_and_after(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key("members:standing", "audit:read")
        answer = await api.call(
            "POST",
            "/v1/members/m-1/freeze?occurred_at=2026-01-01T00:00:00Z",
            made.secret,
            json={"reason": "a reason that is nobody's business"},
            headers={"Idempotency-Key": "k-1", "X-Correlation-Id": "corr-7"},
        )
        assert answer.status_code == 200
        begun, ended = await api.trail(correlation_id="corr-7")
        assert (begun["kind"], ended["kind"]) == ("begun", "ended")
        assert begun["who"] == f"key:{made.key.client}"
        assert begun["operation"] == "freeze"
        assert (begun["method"], begun["path"]) == ("POST", "/v1/members/m-1/freeze")
        assert (begun["status"], ended["status"]) == (None, 200)
        assert begun["address"] == "127.0.0.1"
        told = str([begun, ended])
        assert "business" not in told
        assert "2026-01-01" not in begun["path"]
        assert made.secret.rpartition("_")[2] not in told

    play(story)


def test_what_cannot_be_noted_is_not_done(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Api) -> None:
        made = await api.key("members:standing")

        async def broken(note: Note) -> None:
            raise DatabaseUnavailable("gone")

        monkeypatch.setattr(api.layer.trail, "write", broken)
        answer = await api.call(
            "POST",
            "/v1/members/m-none/freeze",
            made.secret,
            json={"reason": "x"},
            headers={"Idempotency-Key": "k-2"},
        )
        assert code_of(answer) == (503, "database_unavailable")
        assert (await api.app.state.points.ledger.account("m-none")).version == 0

    play(story)


def test_refusals_are_noted_and_counted(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key("members:read", requests_per_second=1_000)
        for _ in range(5):
            await api.call("GET", "/v1/keys", made.secret)
        rows = await api.trail(who=f"key:{made.key.client}")
        assert [row["count"] for row in rows] == [1, 4]
        assert {(row["kind"], row["status"]) for row in rows} == {("refused", 403)}
        assert {row["code"] for row in rows} == {"scope_missing:access:admin"}
        assert rows[0]["path"] == "/v1/keys"

    play(story)


def test_whoever_knocks_a_thousand_times_does_not_fill_the_trail(
    play: Play, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("DELETE FROM api.audit_trail")

    async def story(api: Api) -> None:
        for number in range(1_000):
            api.layer.refusals.refused(
                Note(at=now(), kind="refused", address=f"10.0.{number // 250}.{number % 250}")
            )
        api.layer.refusals.refused(Note(at=now(), kind="refused", who="key:till", code="x"))
        rows = await api.trail()
        assert len(rows) == KINDS_MAX + 2
        assert sum(row["count"] for row in rows) == 1_001
        assert [row["code"] for row in rows if row["who"] == "key:till"] == ["x"]
        assert rows[-1]["code"] == "others_unknown"

    play(story)


def test_auditors_read_it_page_by_page(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key("audit:read")
        other = await api.key("members:read")
        for _ in range(3):
            await api.call("GET", "/v1/keys", other.secret)
            api.layer.refusals.flush()
        await api.trail()
        who = f"key:{other.key.client}"
        seen: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(5):
            page = await api.call("GET", f"/v1/audit-trail?who={who}&limit=1{cursor}", made.secret)
            assert page.status_code == 200
            seen += page.json()["items"]
            if page.json()["next"] is None:
                break
            cursor = f"&cursor={page.json()['next']}"
        assert len(seen) == 3
        assert [row["id"] for row in seen] == sorted((row["id"] for row in seen), reverse=True)
        for wrong in ("x", "AAAA", "WyJhIl0", "W251bGxd"):
            answer = await api.call("GET", f"/v1/audit-trail?cursor={wrong}", made.secret)
            assert code_of(answer) == (422, "bad_cursor")
        mine = await api.call(
            "GET",
            "/v1/audit-trail",
            made.secret,
            params={"who": f"key:{made.key.client}", "since": "2026-01-01T00:00:00Z"},
        )
        assert {row["operation"] for row in mine.json()["items"]} == {"audit_trail"}

    play(story)


HOSTILE = (
    "' OR '1'='1",
    "x'; DROP TABLE api.keys; --",
    "%00",
    "..%2f..%2fetc%2fpasswd",
    "$(id)",
)


def test_what_looks_like_sql_is_a_name_that_nobody_has(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key(
            "audit:read", "access:admin", "proposals:read", "members:standing", "redeem"
        )
        for value in HOSTILE:
            answer = await api.call("GET", "/v1/audit-trail", made.secret, params={"who": value})
            assert answer.json()["items"] == []
            for method, path in (
                ("POST", "/v1/keys/{}/revocation"),
                ("GET", "/v1/proposals/{}"),
                ("POST", "/v1/members/{}/freeze"),
                ("POST", "/v1/members/m-1/reservations/{}/cancel"),
            ):
                answer = await api.call(
                    method,
                    path.format(value.replace("/", "%2f").replace(" ", "%20").replace("$", "%24")),
                    made.secret,
                    headers={"Idempotency-Key": "k-3"},
                    json=None if method == "GET" else {},
                )
                assert answer.status_code in (404, 405, 422), (path, answer.text)
            assert (await api.call("GET", "/v1/keys", made.secret)).status_code == 200

    play(story)


def test_a_path_as_the_trail_has_it() -> None:
    assert clean("/v1/a\x00b\nc") == "/v1/a�b�c"
    assert clean("/v1/keys/pl_abcdefgh_" + "a" * 48) == "/v1/keys/pl_…"
    assert len(clean("/" + "x" * 5_000)) == 300


def test_the_software_cannot_change_the_trail(owner: psycopg.Connection[Any]) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("SET ROLE points_app")
        owner.execute("INSERT INTO api.audit_trail (at, kind) VALUES (now(), 'command')")
        for statement in (
            "UPDATE api.audit_trail SET who = 'nobody'",
            "DELETE FROM api.audit_trail",
            "TRUNCATE api.audit_trail",
            "ALTER TABLE api.audit_trail DISABLE TRIGGER ALL",
        ):
            with pytest.raises(InsufficientPrivilege), owner.transaction():
                owner.execute(statement.encode())


def test_auditors_see_the_trail_and_no_secret(owner: psycopg.Connection[Any]) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("SET ROLE points_auditor")
        owner.execute("SELECT * FROM api.audit_trail, api.proposals LIMIT 1")
        owner.execute("SELECT id, client, scopes FROM api.keys LIMIT 1")
        for statement in (
            "SELECT secret_hash FROM api.keys",
            "INSERT INTO api.audit_trail (at, kind) VALUES (now(), 'command')",
        ):
            with pytest.raises(InsufficientPrivilege), owner.transaction():
                owner.execute(statement.encode())


def test_notes_wait_for_a_database_that_comes_back(play: Play) -> None:
    async def story(api: Api) -> None:
        trail = api.layer.trail
        store, tried = trail._store, []

        async def broken(notes: list[Note]) -> None:
            tried.append(len(notes))
            trail._store = store  # type: ignore[method-assign]
            raise DatabaseUnavailable("gone")

        trail._store = broken  # type: ignore[method-assign]
        trail.add(Note(at=now(), kind="refused", who="waits"))
        with pytest.raises(DatabaseUnavailable):
            await trail.write(Note(at=now(), kind="begun", who="does not"))
        await trail.write(Note(at=now(), kind="begun", who="comes after"))
        assert len(await api.trail(who="waits")) == 1
        assert await api.trail(who="does not") == []
        assert tried == [2]

    play(story)


def test_checking_a_text_is_noted_only_when_it_is_refused(play: Play) -> None:
    async def story(api: Api) -> None:
        may = await api.key("programs:write")
        for text in ("nonsense: 1", "program: x"):
            answer = await api.call("POST", "/v1/program-checks", may.secret, json={"text": text})
            assert answer.status_code == 200
        assert await api.trail(who=f"key:{may.key.client}") == []
        lacks = await api.key("programs:read")
        answer = await api.call("POST", "/v1/program-checks", lacks.secret, json={"text": "x"})
        assert code_of(answer) == (403, "scope_missing")
        (row,) = await api.trail(who=f"key:{lacks.key.client}")
        assert (row["kind"], row["operation"]) == ("refused", "check_program")
        # What is proposed is noted, as before.
        await api.call(
            "POST",
            "/v1/programs",
            may.secret,
            json={"text": "nonsense: 1"},
            headers={"Idempotency-Key": "k-9"},
        )
        rows = await api.trail(who=f"key:{may.key.client}")
        assert [each["kind"] for each in rows] == ["begun", "ended"]

    play(story)
