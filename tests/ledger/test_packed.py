"""What is packed by hand must be what the library, or the database itself, would make of it."""

import gc
from collections.abc import Callable
from uuid import UUID, uuid5

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts import account_id_of, account_key_of
from ledger.cache import Cached
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.packed_arrays import (
    any_bytea_array,
    any_moment_array,
    bigint_array,
    bytea_array,
    columns_of,
    integer_array,
    moment_array,
    text_array,
    uuid_array,
)
from ledger.received import received
from ledger.recorder import DEAD_LETTER_TYPES, INSERT_DEAD_LETTERS, pack_dead_letter
from tests.ledger.events import purchase

PROGRAMS = UUID("5b1f5f2e-7c7c-5a0e-9a3d-3c1d6a0f4b11")
"""The namespace that stored ids were made in."""


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_the_id_of_an_account_is_what_the_standard_library_makes(member_id: str) -> None:
    expected = uuid5(uuid5(PROGRAMS, "shop"), member_id)
    assert account_key_of("shop", member_id) == expected.bytes
    assert account_id_of("shop", member_id) == expected


def test_arrays_arrive_as_they_were_packed(url: str) -> None:
    moments = [0, -1, 1_753_600_000_123_456, 7_289_654_399_999_999]
    ids = [UUID(int=number) for number in (0, 2**127 + 5)]
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        row = connection.execute(
            "SELECT %s::timestamptz[], %s::uuid[], %s::bytea[]",
            (
                moment_array(moments),
                uuid_array([one.bytes for one in ids]),
                bytea_array([b"\x00" * 16, b"\xff" * 16]),
            ),
        ).fetchone()
    assert row == ([from_instant(one) for one in moments], ids, [b"\x00" * 16, b"\xff" * 16])


def test_arrays_of_any_length_arrive_with_their_nulls(url: str) -> None:
    texts = ["", 'Ä"{,}\\', "NULL", "x" * 300]
    integers, bigints = [0, -1, 2**31 - 1], [0, -1, 2**63 - 1]
    items = [b"", None, b"\x00\xff", b"y" * 300]
    moments = [None, 0, 7_289_654_399_999_999]
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        row = connection.execute(
            "SELECT %s::text[], %s::integer[], %s::bigint[], %s::bytea[], %s::timestamptz[]",
            (
                text_array(texts),
                integer_array(integers),
                bigint_array(bigints),
                any_bytea_array(items),
                any_moment_array(moments),
            ),
        ).fetchone()
    times = [None if at is None else from_instant(at) for at in moments]
    assert row == (texts, integers, bigints, items, times)


def test_columns_of_packed_rows_arrive_with_their_nulls(url: str) -> None:
    rows = [
        pack_dead_letter(
            "purchases", 3, 2**40, None, b"\x00\xff", b"", -1, "unknown", None, "c", "$", "Ä"
        ),
        pack_dead_letter("direct", None, None, b"k", None, None, None, "t", "m1", "", "p", "m"),
    ]
    with psycopg.connect(url) as connection:
        connection.execute(INSERT_DEAD_LETTERS, columns_of(rows, DEAD_LETTER_TYPES))
        stored = connection.execute(
            'SELECT source, partition, "offset", key, value, headers, record_timestamp, type,'
            " member_id, code, path, message FROM ledger.dead_letters ORDER BY id"
        ).fetchall()
    assert stored == [
        ("purchases", 3, 2**40, None, b"\x00\xff", b"", -1, "unknown", None, "c", "$", "Ä"),
        ("direct", None, None, b"k", None, None, None, "t", "m1", "", "p", "m"),
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cached(Account.new("m1"), bytes(16)),
        lambda: Account.new("m1").fork(),
        lambda: received(purchase("m1", "o1")),
    ],
    ids=["cached", "account", "received"],
)
def test_the_search_for_cycles_passes_what_can_be_in_none(make: Callable[[], object]) -> None:
    """Millions of them are in memory: looking at each took a tenth of the worker's time."""
    assert not gc.is_tracked(make())
