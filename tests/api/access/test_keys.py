"""API keys: what is kept of them, what ends them, and that they open nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from api.access import keys, known, secret
from api.access.keys import KeyRefused
from tests.api.access.callers import Api, Wanted, code_of, in_hours

Play = Callable[..., Any]


def test_a_key_says_what_it_is_and_has_240_random_bits() -> None:
    made = secret.made()
    assert secret.parsed(made.text) == made
    assert len(made.secret) * 5 == 240
    assert made.secret not in repr(made)
    assert secret.made().secret != made.secret


@pytest.mark.parametrize(
    "text", ["", "pl_", "pl_aaaaaaaa_" + "a" * 47, "pl_aaaaaaaa_" + "A" * 48, "Bearer x", "pl_é_é"]
)
def test_what_is_no_key(text: str) -> None:
    assert secret.parsed(text) is None


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("api.access.secret.hmac.compare_digest", compare)
    made = secret.made()
    assert secret.is_of(made, made.digest)
    assert not secret.is_of(made, bytes(32))
    assert len(compared) == 2


def test_only_the_hash_is_stored(play: Play, owner: psycopg.Connection[Any]) -> None:
    async def story(api: Api) -> str:
        return (await api.key("members:read")).secret

    text = play(story)
    given = secret.parsed(text)
    assert given is not None
    row = owner.execute(
        "SELECT secret_hash, k::text FROM api.keys k WHERE id = %s", (given.id,)
    ).fetchone()
    assert row is not None
    assert row[0] == given.digest
    assert given.secret not in row[1]


def test_a_key_that_works_and_those_that_do_not(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key("members:read")
        assert (await api.call("GET", "/v1/me", made.secret)).json()["client"] == made.key.client
        wrong = made.secret[:-4] + ("aaaa" if made.secret[-4:] != "aaaa" else "bbbb")
        for text in (wrong, secret.made().text, "nonsense", "pl_short"):
            answer = await api.call("GET", "/v1/me", text)
            assert code_of(answer) == (401, "bad_key")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert code_of(await api.call("GET", "/v1/me")) == (401, "not_signed_in")
        ending = await api.key("members:read", expires_at=in_hours(1))
        assert (await api.call("GET", "/v1/me", ending.secret)).status_code == 200
        async with api.layer.pool.connection() as connection:
            await connection.execute(
                "UPDATE api.keys SET expires_at = now() WHERE id = %s", (ending.key.id,)
            )
        api.layer.keys._known.clear()
        assert code_of(await api.call("GET", "/v1/me", ending.secret)) == (401, "key_expired")

    play(story)


def test_a_key_ends_on_time_also_while_it_is_remembered(play: Play) -> None:
    """The end is compared at each request, not only when the key is read."""

    async def story(api: Api) -> None:
        made = await api.key("members:read", expires_at=in_hours(1))
        found = await api.layer.keys.find(made.key.id)
        assert found is not None
        given = secret.parsed(made.secret)
        assert given is not None
        assert found.problem(given, datetime.now(UTC)) is None
        assert found.problem(given, datetime.now(UTC) + timedelta(hours=2)) == "key_expired"

    play(story)


def test_a_revoked_key_is_refused_within_the_bound(play: Play) -> None:
    async def story(api: Api) -> None:
        clock = [100.0]
        api.layer.keys._clock = lambda: clock[0]
        made = await api.key("members:read")
        assert (await api.call("GET", "/v1/me", made.secret)).status_code == 200
        async with api.layer.pool.connection() as connection:
            await keys.revoke(connection, made.key.id, by="tests")
        assert (await api.call("GET", "/v1/me", made.secret)).status_code == 200
        clock[0] += known.FRESH_SECONDS
        assert code_of(await api.call("GET", "/v1/me", made.secret)) == (401, "key_revoked")

    play(story)


def test_a_key_in_use_is_read_again_beside_the_requests(play: Play) -> None:
    async def story(api: Api) -> None:
        clock = [100.0]
        api.layer.keys._clock = lambda: clock[0]
        made = await api.key("members:read")
        await api.call("GET", "/v1/me", made.secret)
        async with api.layer.pool.connection() as connection:
            await keys.revoke(connection, made.key.id, by="tests")
        clock[0] += known.AHEAD_SECONDS
        assert (await api.call("GET", "/v1/me", made.secret)).status_code == 200
        await api.layer.keys._reading[made.key.id]
        assert code_of(await api.call("GET", "/v1/me", made.secret)) == (401, "key_revoked")

    play(story)


def test_rotation_keeps_the_client_and_both_keys_for_the_grace(play: Play) -> None:
    async def story(api: Api) -> None:
        admin = (await api.key("access:admin")).secret
        old = await api.key("members:read", expires_at=in_hours(1))
        path = f"/v1/keys/{old.key.id}/rotation"
        body = {"grace_seconds": 600, "expires_at": None}
        answer = await api.call("POST", path, admin, json=body)
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        new = answer.json()
        for text in (old.secret, new["secret"]):
            me = await api.call("GET", "/v1/me", text)
            assert me.json()["client"] == old.key.client
        async with api.layer.pool.connection() as connection:
            before = await keys.find(connection, old.key.id)
        assert before.rotated_to == new["key"]["id"]
        assert before.expires_at is not None
        assert before.expires_at < in_hours(0.2)
        assert code_of(await api.call("POST", path, admin, json=body)) == (422, "key_rotated")
        at_once = {"grace_seconds": 0, "expires_at": None}
        path = f"/v1/keys/{new['key']['id']}/rotation"
        assert (await api.call("POST", path, admin, json=at_once)).status_code == 201
        api.layer.keys._known.clear()
        assert code_of(await api.call("GET", "/v1/me", new["secret"])) == (401, "key_expired")

    play(story)


def test_keys_over_http(play: Play) -> None:
    async def story(api: Api) -> None:
        admin = (await api.key("access:admin")).secret
        body = {"client": "till-7", "roles": ["viewer"], "scopes": ["redeem"], "expires_at": None}
        answer = await api.call("POST", "/v1/keys", admin, json=body)
        assert answer.status_code == 201
        made = answer.json()
        me = (await api.call("GET", "/v1/me", made["secret"])).json()
        assert me["client"] == "till-7"
        assert me["person"] is None
        assert set(me["scopes"]) == {"members:read", "programs:read", "reports:read", "redeem"}
        again = await api.call("POST", "/v1/keys", admin, json=body)
        assert code_of(again) == (422, "client_has_key")
        listed = await api.call("GET", "/v1/keys", admin)
        assert made["key"]["id"] in [each["id"] for each in listed.json()["items"]]
        assert made["secret"].rpartition("_")[2] not in listed.text
        path = f"/v1/keys/{made['key']['id']}/revocation"
        assert (await api.call("POST", path, admin)).json()["state"] == "revoked"
        assert (await api.call("POST", path, admin)).json()["state"] == "revoked"
        assert code_of(await api.call("POST", "/v1/keys/nokey/revocation", admin)) == (
            404,
            "no_such_key",
        )

    play(story)


def test_over_http_no_key_can_become_a_second_person(play: Play) -> None:
    async def story(api: Api) -> None:
        admin = (await api.key("access:admin")).secret
        for wrong in (
            {"roles": ["operator"]},
            {"scopes": ["access:admin"]},
            {"scopes": ["approve"]},
            {"roles": ["approver"]},
        ):
            body = {"client": "other", "expires_at": None} | wrong
            answer = await api.call("POST", "/v1/keys", admin, json=body)
            assert code_of(answer) == (422, "command_line_only")
        anna = await api.key(roles=["approver"], person="anna")
        path = f"/v1/keys/{anna.key.id}/rotation"
        answer = await api.call("POST", path, admin, json={"grace_seconds": 0, "expires_at": None})
        assert code_of(answer) == (422, "personal_key")

    play(story)


REFUSED = (
    (Wanted("a b", scopes=["redeem"]), "bad_client"),
    (Wanted("x" * 65, scopes=["redeem"]), "bad_client"),
    (Wanted("oidc:x", scopes=["redeem"]), "bad_client"),
    (Wanted("a", scopes=["all"]), "bad_scope"),
    (Wanted("a", roles=["root"]), "bad_role"),
    (Wanted("a"), "nothing_allowed"),
    (Wanted("a", roles=["approver"]), "person_needed"),
    (Wanted("a", scopes=["redeem"], requests_per_second=0), "bad_rate"),
    (Wanted("a", scopes=["redeem"], expires_at=in_hours(-1)), "in_the_past"),
)


def test_keys_that_are_not_made(play: Play) -> None:
    async def story(api: Api) -> None:
        async with api.layer.pool.connection() as connection:
            for wanted, code in REFUSED:
                with pytest.raises(KeyRefused) as refused:
                    await keys.create(connection, wanted, by="tests")
                assert refused.value.code == code

    play(story)


def test_the_last_use_is_written_beside_the_requests(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key("members:read")
        await api.call("GET", "/v1/me", made.secret)
        async with api.layer.pool.connection() as connection:
            assert (await keys.find(connection, made.key.id)).last_used_at is None
            await api.layer.keys.write_last_uses()
            used = (await keys.find(connection, made.key.id)).last_used_at
        assert used is not None
        assert datetime.now(UTC) - used < timedelta(minutes=1)

    play(story)


def test_what_the_software_can_change_of_a_key(owner: psycopg.Connection[Any]) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("SET ROLE points_app")
        for statement in (
            "UPDATE api.keys SET scopes = '{approve}'",
            "UPDATE api.keys SET secret_hash = decode(repeat('00', 32), 'hex')",
            "UPDATE api.keys SET person = 'anna'",
            "DELETE FROM api.keys",
            "TRUNCATE api.keys CASCADE",
        ):
            with pytest.raises(InsufficientPrivilege), owner.transaction():
                owner.execute(statement.encode())
