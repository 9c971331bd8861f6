"""Deliberate damage, as a superuser does it to a real database: every kind is found, and named.

Each test says what was done and what the audit must answer: the shard, the position or the table
and member, and the code of the finding.
"""

from hashlib import sha256
from typing import Any, NamedTuple

import psycopg
import pytest

from audit.findings import Finding
from audit.page import page
from audit.report import Report
from audit.rows import body_of, rows
from audit.verify import verify
from ledger.chain import Head, genesis

Owner = psycopg.Connection[Any]


class Damage(NamedTuple):
    """What was done, in SQL, and the finding that must come of it. `read_models`: whether the log
    itself stays whole, so that these are compared too."""

    name: str
    changes: tuple[str, ...]
    code: str
    shard: int | None = None
    position: int | None = None
    table: str = "ledger.events"
    member: str | None = None


SWAP = (
    "UPDATE ledger.events SET position = -1 WHERE shard = 0 AND position = 5",
    "UPDATE ledger.events SET position = 5 WHERE shard = 0 AND position = {other}",
    "UPDATE ledger.events SET position = {other} WHERE shard = 0 AND position = -1",
)
SHIFT = "UPDATE ledger.events SET position = position {by} WHERE shard = 0 AND position {from_}"

A_REQUEST = (
    " WHERE (shard, key) = (SELECT r.shard, r.key FROM ledger.inputs r JOIN ledger.inputs i"
    " ON i.shard = r.shard AND i.key = r.content ORDER BY 1, 2 LIMIT 1)"
)

CASES = [
    Damage(
        "one byte of a payload",
        (
            (
                "UPDATE ledger.events SET payload = set_byte(payload, octet_length(payload) - 3,"
                " get_byte(payload, octet_length(payload) - 3) # 1)"
                " WHERE shard = 0 AND position = 7"
            ),
        ),
        "row_changed",
        0,
        7,
    ),
    Damage(
        "a column beside the payload",
        (
            (
                "UPDATE ledger.events SET occurred_at = occurred_at + interval '1 s'"
                " WHERE shard = 2 AND position = 1"
            ),
        ),
        "row_changed",
        2,
        1,
    ),
    Damage(
        "the first byte of the last event",
        (
            (
                "UPDATE ledger.events e SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)"
                " WHERE shard = 0"
                " AND position = (SELECT position FROM ledger.heads WHERE shard = 0)"
            ),
        ),
        "row_changed",
        0,
    ),
    Damage(
        "a program version",
        (
            (
                "UPDATE ledger.events SET payload = convert_to(replace("
                "convert_from(payload, 'UTF8'),"
                """ '"per_amount":100', '"per_amount":101'), 'UTF8')"""
                " WHERE shard = -1 AND type = 'ProgramPublished'"
            ),
        ),
        "row_changed",
        -1,
        2,
    ),
    Damage(
        "a deleted row",
        ("DELETE FROM ledger.events WHERE shard = 0 AND position = 6",),
        "row_missing",
        0,
        6,
    ),
    Damage(
        "the first row, deleted",
        ("DELETE FROM ledger.events WHERE shard = 1 AND position = 1",),
        "row_missing",
        1,
        1,
    ),
    Damage(
        "a deleted row, the others moved up",
        (
            "DELETE FROM ledger.events WHERE shard = 0 AND position = 6",
            SHIFT.format(by="+ 999", from_="> 6"),
            SHIFT.format(by="- 1000", from_="> 999"),
            "UPDATE ledger.heads SET position = position - 1 WHERE shard = 0",
        ),
        "row_changed",
        0,
        6,
    ),
    Damage(
        "two neighbours swapped",
        tuple(each.format(other=6) for each in SWAP),
        "rows_exchanged",
        0,
        5,
    ),
    Damage(
        "two rows far apart swapped",
        tuple(each.format(other=9) for each in SWAP),
        "rows_exchanged",
        0,
        5,
    ),
    Damage(
        "two payloads swapped, the hashes left",
        (
            (
                "UPDATE ledger.events a SET account_id = b.account_id, member_id = b.member_id,"
                " version = 1000 + b.version, type = b.type, occurred_at = b.occurred_at,"
                " recorded_at = b.recorded_at, effects = b.effects, payload = b.payload"
                " FROM ledger.events b WHERE a.shard = 0 AND b.shard = 0"
                " AND (a.position, b.position) IN ((5, 6), (6, 5))"
            ),
            "UPDATE ledger.events SET version = version - 1000 WHERE shard = 0 AND version > 1000",
        ),
        "rows_exchanged",
        0,
        5,
    ),
    Damage(
        "a row put in between",
        (
            SHIFT.format(by="+ 1000", from_=">= 6"),
            SHIFT.format(by="- 999", from_=">= 1000"),
            (
                "INSERT INTO ledger.events SELECT shard, 6, gen_random_uuid(), 'm1', 1, type,"
                " occurred_at, recorded_at, effects, payload, hash FROM ledger.events"
                " WHERE shard = 0 AND position = 2"
            ),
            "UPDATE ledger.heads SET position = position + 1 WHERE shard = 0",
        ),
        "row_added",
        0,
        6,
    ),
    Damage(
        "a row put in at the end",
        (
            (
                "INSERT INTO ledger.events SELECT e.shard, h.position + 1,"
                " gen_random_uuid(), 'm1', 1,"
                " type, occurred_at, e.recorded_at, effects, payload, e.hash FROM ledger.events e"
                " JOIN ledger.heads h USING (shard) WHERE e.shard = 0 AND e.position = 2"
            ),
        ),
        "row_changed",
        0,
    ),
    Damage(
        "a truncated tail",
        (
            (
                "DELETE FROM ledger.events e USING ledger.heads h WHERE e.shard = 0 AND h.shard = 0"
                " AND e.position > h.position - 2"
            ),
        ),
        "log_ends_early",
        0,
    ),
    Damage(
        "a truncated tail, the head set back",
        (
            (
                "DELETE FROM ledger.events e USING ledger.heads h WHERE e.shard = 0 AND h.shard = 0"
                " AND e.position > h.position - 2"
            ),
            (
                "UPDATE ledger.heads h SET position = e.position, hash = e.hash"
                " FROM ledger.events e"
                " WHERE h.shard = 0 AND e.shard = 0 AND e.position = h.position - 2"
            ),
        ),
        "input_without_event",
        0,
        table="ledger.inputs",
    ),
    Damage(
        "everything of a shard",
        ("DELETE FROM ledger.events WHERE shard = 0",),
        "log_ends_early",
        0,
        1,
    ),
    Damage(
        "a head's position",
        ("UPDATE ledger.heads SET position = position - 1 WHERE shard = 0",),
        "log_goes_on",
        0,
    ),
    Damage(
        "a head's hash",
        ("UPDATE ledger.heads SET hash = sha256('x') WHERE shard = 0",),
        "head_changed",
        0,
        table="ledger.heads",
    ),
    Damage(
        "a head, deleted",
        ("DELETE FROM ledger.heads WHERE shard = 0",),
        "head_missing",
        0,
        table="ledger.heads",
    ),
    Damage(
        "a dedupe row, deleted",
        ("DELETE FROM ledger.inputs WHERE shard = 0 AND position = 1",),
        "input_missing",
        0,
        1,
        "ledger.inputs",
    ),
    Damage(
        "the key of a dedupe row",
        (
            (
                "UPDATE ledger.inputs SET key = set_byte(key, 3, get_byte(key, 3) # 1)"
                " WHERE shard = 0 AND position = 1"
            ),
        ),
        "input_key",
        0,
        1,
        "ledger.inputs",
    ),
    Damage(
        "the content of a dedupe row",
        (
            (
                "UPDATE ledger.inputs SET content = set_byte(content, 3, get_byte(content, 3) # 1)"
                " WHERE (shard, position) = (SELECT shard, position FROM ledger.events"
                " WHERE type = 'PurchaseRewarded' ORDER BY 1, 2 LIMIT 1)"
            ),
        ),
        "input_content",
        table="ledger.inputs",
    ),
    Damage(
        "the position of a dedupe row",
        ("UPDATE ledger.inputs SET position = 10000 WHERE shard = 0 AND position = 1",),
        "input_missing",
        0,
        1,
        "ledger.inputs",
    ),
    Damage(
        "a dedupe row more",
        (
            (
                "INSERT INTO ledger.inputs SELECT 0, sha256('x')::bytea, sha256('x'), position"
                " FROM ledger.inputs WHERE shard = 0 AND position = 1"
            ),
        ),
        "input_twice",
        0,
        1,
        "ledger.inputs",
    ),
    Damage(
        "a dedupe row of nothing",
        ("INSERT INTO ledger.inputs VALUES (0, sha256('x'), sha256('x'), 0)",),
        "input_without_event",
        0,
        0,
        "ledger.inputs",
    ),
    Damage(
        "the key of a request",
        ("UPDATE ledger.inputs SET key = sha256('x')" + A_REQUEST,),
        "request_key",
        table="ledger.inputs",
    ),
    Damage(
        "what a request stands for",
        ("UPDATE ledger.inputs SET content = sha256('x')" + A_REQUEST,),
        "input_twice",
        table="ledger.inputs",
    ),
    Damage(
        "the key of a request without a member",
        ("UPDATE ledger.inputs SET key = sha256(key) WHERE shard = -1",),
        "request_key",
        -1,
        table="ledger.inputs",
    ),
    Damage(
        "what a request without a member stands for",
        ("UPDATE ledger.inputs SET content = sha256('x') WHERE shard = -1",),
        "input_without_event",
        -1,
        table="ledger.inputs",
    ),
    Damage(
        "the position of a request without a member",
        ("UPDATE ledger.inputs SET position = position + 1 WHERE shard = -1",),
        "input_without_event",
        -1,
        table="ledger.inputs",
    ),
    Damage(
        "the dedupe row of a return that waited",
        (
            (
                "DELETE FROM ledger.inputs i USING ledger.events e WHERE e.type = 'ReturnWaiting'"
                " AND e.member_id = 'm2' AND (i.shard, i.position) = (e.shard, e.position)"
            ),
        ),
        "input_missing",
        table="ledger.inputs",
    ),
    Damage(
        "a balance",
        ("UPDATE read.balances SET available = available + 1 WHERE member_id = 'm1'",),
        "read_row_changed",
        table="read.balances",
        member="m1",
    ),
    Damage(
        "a step ahead of a balance",
        (
            (
                "UPDATE read.balances SET step_available[1] = step_available[1] + 1"
                " WHERE member_id = 'm1'"
            ),
        ),
        "read_row_changed",
        table="read.balances",
        member="m1",
    ),
    Damage(
        "a balance, deleted",
        ("DELETE FROM read.balances WHERE member_id = 'm1'",),
        "read_row_missing",
        table="read.balances",
        member="m1",
    ),
    Damage(
        "a lot",
        ("UPDATE read.open_lots SET expires_at = NULL WHERE member_id = 'm6'",),
        "read_row_changed",
        table="read.open_lots",
        member="m6",
    ),
    Damage(
        "a lot of nobody",
        (
            (
                "INSERT INTO read.open_lots SELECT 'nobody', lot, rules, source, granted, pending,"
                " available, reserved, granted_at, activates_at, expires_at FROM read.open_lots"
                " WHERE member_id = 'm6'"
            ),
        ),
        "read_row_added",
        table="read.open_lots",
        member="nobody",
    ),
    Damage(
        "a member of nobody's",
        (
            (
                "INSERT INTO read.balances SELECT 'nobody', shard, opened_at, settled_to, 10000,"
                " pending, reserved, expired, granted, debt, step_at, step_available, step_pending,"
                " step_reserved, step_expired, step_granted, step_debt, status, merged_into"
                " FROM read.balances WHERE member_id = 'm6'"
            ),
        ),
        "read_row_added",
        table="read.balances",
        member="nobody",
    ),
    Damage(
        "a change of a balance, deleted",
        ("DELETE FROM read.balance_changes WHERE member_id = 'm1'",),
        "read_row_missing",
        table="read.balance_changes",
        member="m1",
    ),
    Damage(
        "a tier",
        ("UPDATE read.tiers SET tier = 'gold' WHERE member_id = 'm3'",),
        "read_row_changed",
        table="read.tiers",
        member="m3",
    ),
    Damage(
        "a tier's time",
        (
            (
                "UPDATE read.tier_intervals SET valid_to = valid_to + interval '1 us'"
                " WHERE member_id = 'm6' AND tier = 'gold'"
            ),
        ),
        "read_row_changed",
        table="read.tier_intervals",
        member="m6",
    ),
    Damage(
        "a segment",
        ("DELETE FROM read.segment_intervals WHERE member_id = 'm2'",),
        "read_row_missing",
        table="read.segment_intervals",
    ),
    Damage(
        "a purchase's money",
        ("UPDATE read.member_purchases SET amount = amount + 1 WHERE member_id = 'm1'",),
        "read_row_changed",
        table="read.member_purchases",
        member="m1",
    ),
    Damage(
        "a sale of nobody",
        ("UPDATE read.sale_notes SET amount = amount + 1 WHERE order_id = 'anonymous-1'",),
        "read_row_changed",
        table="read.sale_notes",
    ),
    Damage(
        "a movement of points put in",
        (
            (
                "INSERT INTO read.point_notes SELECT shard, 9999, n, member_id, effective_at, flow,"
                " detail, order_id, award, points FROM read.point_notes LIMIT 1"
            ),
        ),
        "read_row_added",
        position=9999,
        table="read.point_notes",
    ),
    Damage(
        "a step of a referral",
        ("DELETE FROM read.referral_steps WHERE referee_id = 'm2' AND step = 'registered'",),
        "read_row_missing",
        table="read.referral_steps",
    ),
    Damage(
        "a point's value",
        ("UPDATE read.point_values SET point_value = 2 WHERE position = 2",),
        "read_row_changed",
        -1,
        2,
        "read.point_values",
    ),
    Damage(
        "bounds of segments",
        ("UPDATE read.rfm_bounds SET members = 1",),
        "read_row_changed",
        -1,
        table="read.rfm_bounds",
    ),
    Damage(
        "how far a projection is",
        ("UPDATE read.positions SET position = 1000 WHERE shard = 0 AND projection = 'tiers'",),
        "read_position_beyond",
        0,
        1000,
        "read.positions",
    ),
]


def damaged(owner: Owner, changes: tuple[str, ...]) -> None:
    """What one does who holds the superuser's password."""
    for change in changes:
        assert owner.execute(change.encode()).rowcount > 0, change


def found(report: Report, wanted: Damage) -> Finding:
    """The finding that answers to a damage."""
    for finding in report.findings:
        if (
            finding.code == wanted.code
            and finding.table == wanted.table
            and wanted.shard in (None, finding.shard)
            and wanted.position in (None, finding.position)
            and wanted.member in (None, finding.member_id)
        ):
            return finding
    raise AssertionError(report.findings)


@pytest.mark.parametrize("damage", CASES, ids=lambda damage: damage.name)
def test_damage_is_found_and_named(url: str, owner: Owner, damage: Damage) -> None:
    damaged(owner, damage.changes)
    report = verify(url, jobs=1)
    assert not report.ok
    finding = found(report, damage)
    assert finding.what
    assert finding.do
    assert {each.shard for each in report.findings} == {finding.shard}
    assert finding.code in page(report)


def test_a_forged_chain_is_found_by_what_follows_from_it(url: str, owner: Owner) -> None:
    """Who knows the ledger's id can compute every hash anew; nothing fits what he made."""
    ((ledger_id,),) = owner.execute("SELECT ledger_id FROM ledger.ledger").fetchall()
    owner.execute(
        "UPDATE ledger.events SET payload = convert_to(replace(convert_from(payload, 'UTF8'),"
        """ '"m1"', '"m9"'), 'UTF8'), member_id = 'm9' WHERE shard = 0 AND position = 1"""
    )
    rehashed(owner, Head(0, genesis(ledger_id, 0)), 0)
    report = verify(url, jobs=1)
    assert ("wrong_account", 0, 1) in [(f.code, f.shard, f.position) for f in report.findings]


def rehashed(owner: Owner, start: Head, shard: int) -> None:
    """Make the chain of a shard anew over its rows as they are."""
    end = start.hash
    hashes = []
    for row in rows(owner, shard, 0, 10**9):
        end = sha256(end + body_of(row)).digest()
        hashes.append(end)
    for position, link in enumerate(hashes, 1):
        owner.execute(
            "UPDATE ledger.events SET hash = %s WHERE shard = %s AND position = %s",
            (link, shard, position),
        )
    owner.execute("UPDATE ledger.heads SET hash = %s WHERE shard = %s", (end, shard))
