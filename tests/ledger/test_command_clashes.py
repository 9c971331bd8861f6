"""Commands under one source and id: two members' both take effect, and that is found."""

from pathlib import Path
from typing import Any, get_type_hints

import psycopg
from msgspec.structs import replace

import ledger
from ledger.core.decide import _HANDLERS
from ledger.settings import Settings
from schemas.routing import TYPE_NAMES
from tests.ledger.events import claim, direct, merged, reserve, survey
from tests.ledger.opened import opened, run

CLASHES = "SELECT source, id, members FROM ledger.command_clashes ORDER BY id"


def test_a_key_that_took_effect_for_two_members_or_twice_for_one_is_found(
    settings: Settings, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as one:
            await one.handle(direct(*(survey(member) for member in ("m1", "m2", "m3"))))
            await one.handle(direct(reserve("m1", "alone"), reserve("m1", "alone")))
            await one.handle(direct(merged("m3", "m2")))  # recorded on both accounts, under one key
            await one.handle(direct(reserve("m3", "passed on", at=2)))
            assert owner.execute(CLASHES).fetchall() == []
            first, second = reserve("m1", "both", at=2), reserve("m2", "both", at=2)
            found = await one.handle(direct(first, second))
            assert [outcome.kind for outcome in found] == ["applied", "applied"]
            refused = replace(claim("m1", "", "car", at=2), id=first.id)
            (outcome,) = await one.handle(direct(refused))
            assert outcome.code == "not_in_catalogue"

    run(test())
    ((source, name, members),) = owner.execute(CLASHES).fetchall()
    assert (source, name) == ("test", "reserve-both")
    assert sorted(members) == ["m1", "m1", "m2"]


def test_the_view_knows_every_decision_that_a_command_leads_to() -> None:
    here = Path(ledger.__file__).parent / "migrations" / "versions"
    views = "".join(path.read_text() for path in sorted(here.glob("*.sql")))
    view = views[views.rindex("CREATE VIEW ledger.command_clashes") :]
    decided = {
        get_type_hints(handler)["return"].__name__
        for kind, handler in _HANDLERS.items()
        if TYPE_NAMES[kind].startswith("command.")
    }
    assert len(decided) > 10
    assert not [name for name in decided if f"'{name}'" not in view]
