"""What another process appends is seen at once, by questions and by appends, however often it does
and however much it was."""

import pytest

from ledger import lookups, reading
from ledger.received import tick
from ledger.settings import Settings
from tests.ledger.events import direct, purchase, shares_shard
from tests.ledger.opened import check_cache, check_log, instant, opened, run

(NEIGHBOUR,) = shares_shard("m1", 1)


@pytest.mark.parametrize("most", [lookups.CATCH_UP_MAX, 1], ids=["few", "too many to name"])
def test_each_look_sees_what_others_appended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    for module in (lookups, reading):
        monkeypatch.setattr(module, "CATCH_UP_MAX", most)

    async def story() -> None:
        async with opened(settings) as here, opened(settings) as there:

            async def versions(*members: str) -> list[int]:
                asked = [tick(member, instant(10)) for member in members]
                return [each.account.version for each in await here.preview(asked) if each.account]

            before = await versions("m1", NEIGHBOUR)
            for n in range(4):
                theirs = direct(purchase("m1", f"t{n}", at=n), purchase(NEIGHBOUR, f"u{n}", at=n))
                assert {each.kind for each in await there.handle(theirs)} == {"applied"}
                after = await versions("m1", NEIGHBOUR)
                assert all(b > a for a, b in zip(before, after, strict=True)), n
                ours = await here.handle(direct(purchase("m1", f"o{n}", at=n)))
                assert [each.kind for each in ours] == ["applied"]
                before = await versions("m1", NEIGHBOUR)
                assert before[0] > after[0]
                assert before[1] == after[1]
            more = await there.handle(direct(purchase("m1", "last", at=5)))
            mine = await here.handle(direct(purchase("m1", "later", at=6)))
            assert (mine[0].position or 0) > (more[0].position or 0)
            for ledger in (here, there):
                await check_log(ledger)
            await check_cache(here)

    run(story())
