"""docs/domain.md marks what this version does not do: every key refused, and nothing unknown."""

import pytest

from schemas.decisions import PostingAccount
from schemas.inputs import TOPIC_OF_TYPE
from streams.topics import CONSUMED
from tests.docs import codes
from tests.docs.pages import page

TEXT = " ".join(page("domain.md").split())

MARK = "(not yet)"

OF_TOPICS: dict[str, tuple[str, ...]] = {}

OF_POSTINGS: dict[str, tuple[str, ...]] = {}

OF_OTHERS = (
    "or HTTP status 409",
    "but found by a read model and alerted",
    "longer cycles by a read model with an alert",
)

ALL = [
    *(text for group in (OF_TOPICS, OF_POSTINGS) for said in group.values() for text in said),
    *OF_OTHERS,
]


def test_the_topics_are_those_that_no_worker_reads() -> None:
    assert set(OF_TOPICS) == set(TOPIC_OF_TYPE.values()) - set(CONSUMED)


def test_the_postings_are_those_that_nothing_makes() -> None:
    core = "".join(
        path.read_text(encoding="utf-8") for path in (codes.LEDGER / "core").rglob("*.py")
    )
    never = {account.value for account in PostingAccount if not made(account, core)}
    assert set(OF_POSTINGS) == never


def made(account: PostingAccount, source: str) -> bool:
    return f'"{account.value}"' in source or f"PostingAccount.{account.name}" in source


@pytest.mark.parametrize("said", ALL)
def test_it_is_marked(said: str) -> None:
    assert f"{said} {MARK}" in TEXT


def test_no_other_mark_stands_there() -> None:
    in_the_head_sentence = 1
    assert TEXT.count(MARK) == len(ALL) + in_the_head_sentence
