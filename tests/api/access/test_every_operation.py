"""Every operation of the API asks who calls, and for its scope: also those that come later."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.app import create_app
from api.routes import GROUPS
from api.scopes import ROLES, Scope
from ledger.settings import load_settings
from tests.api.access.callers import Api, code_of

OPEN = {"/livez", "/readyz", "/metrics", "/openapi.json"}
"""What everybody may ask."""

WITHOUT_SCOPE = {"/v1/me"}
"""What every caller may ask."""


def routes() -> Iterator[APIRoute]:
    for group in GROUPS:
        for route in group.routes:
            assert isinstance(route, APIRoute), f"{route}: who may ask this?"
            if route.path not in OPEN:
                yield route


NAMES = {"/v1/kpis/{name}": "sales"}

ROUTES = [(method, route.path) for route in routes() for method in sorted(route.methods or ())]


def place(path: str) -> str:
    path = path.replace("{job_id}", "0" * 32)
    for name in ("member_id", "reservation_id", "key_id", "proposal_id"):
        path = path.replace("{" + name + "}", "x1")
    path = path.replace("{job_id}", "0" * 32).replace("{letter_id}", "1")
    path = path.replace("{version}", "abcd").replace("{name}", NAMES.get(path, "balances"))
    return path.replace("{", "").replace("}", "")


def test_the_application_has_these_operations_and_no_others() -> None:
    app = create_app(load_settings({}))
    described = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    assert described <= set(ROUTES)
    others = {getattr(route, "path", None) for route in app.routes} - {None}
    assert others <= OPEN


def test_nobody_gets_in(play: Callable[..., Any]) -> None:
    async def story(api: Api) -> None:
        for method, path in ROUTES:
            answer = await api.call(method, place(path))
            assert code_of(answer) == (401, "not_signed_in"), (method, path)

    play(story)


def test_a_key_without_the_scope_gets_nowhere(play: Callable[..., Any]) -> None:
    """A key that is good for nothing: one whose scope this version does not know."""

    async def story(api: Api) -> None:
        made = await api.key("redeem", requests_per_second=100_000)
        known = await api.layer.keys.find(made.key.id)
        assert known is not None
        async with api.layer.pool.connection() as connection:
            await connection.execute("RESET ROLE")
            await connection.execute(
                "UPDATE api.keys SET scopes = '{not-known}' WHERE id = %s", (made.key.id,)
            )
            await connection.execute("SET ROLE points_app")
        api.layer.keys._known.clear()
        for method, path in ROUTES:
            if path in WITHOUT_SCOPE:
                continue
            answer = await api.call(method, place(path), made.secret)
            assert code_of(answer) == (403, "scope_missing"), (method, path)
        rows = await api.trail(who=f"key:{made.key.client}")
        assert {row["kind"] for row in rows} == {"refused"}

    play(story)


def test_each_scope_alone_is_not_another() -> None:
    assert set().union(*ROLES.values()) <= set(Scope)
    assert Scope.ACCESS_ADMIN not in ROLES["approver"] | ROLES["auditor"] | ROLES["agent"]
    # Who proposes has no role with which he approves.
    assert all(
        Scope.APPROVE not in ROLES[role]
        for role in ROLES
        if ROLES[role] & {Scope.ADJUST, Scope.PROGRAMS_WRITE}
    )


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_allows_what_it_says(play: Callable[..., Any], role: str) -> None:
    async def story(api: Api) -> None:
        made = await api.key(roles=[role], person="anna")
        told = (await api.call("GET", "/v1/me", made.secret)).json()
        assert told["scopes"] == sorted(ROLES[role])
        assert told["person"] == "anna"

    play(story)
