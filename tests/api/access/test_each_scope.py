"""Of every operation the one scope that opens it: a caller with all others is refused."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from api.scopes import Scope
from tests.api.access.callers import Api
from tests.api.access.test_every_operation import ROUTES, WITHOUT_SCOPE, place


def test_each_operation_is_closed_by_the_lack_of_one_scope(play: Callable[..., Any]) -> None:
    closed: dict[tuple[str, str], list[Scope]] = defaultdict(list)

    async def story(api: Api) -> None:
        for missing in Scope:
            others = [scope for scope in Scope if scope is not missing]
            made = await api.key(*others, person="anna", requests_per_second=100_000)
            for method, path in ROUTES:
                answer = await api.call(method, place(path), made.secret)
                if answer.status_code == 403 and answer.json()["code"] == "scope_missing":
                    closed[method, path].append(missing)

    play(story)
    asking = [each for each in ROUTES if each[1] not in WITHOUT_SCOPE]
    assert {each: len(closed[each]) for each in asking} == dict.fromkeys(asking, 1)
    assert not any(closed[each] for each in ROUTES if each[1] in WITHOUT_SCOPE)
    assert {scopes[0] for scopes in closed.values() if scopes} == set(Scope)
