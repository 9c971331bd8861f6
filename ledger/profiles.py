"""Profiles of members: personal data, in tables of its own that can be erased.

Written in the append transaction with the decision that accepted them; the log holds none of it.
Erasing a member deletes the profile, the key of its content hashes and its dead letters. A program
version that asks something new of profiles has them read again.
"""

from collections.abc import Sequence
from datetime import date

import msgspec
from psycopg.types.json import Jsonb

from ledger.batch import Batch
from ledger.core.calendar import from_instant, to_instant
from ledger.lookups import Connection
from ledger.work import KnownProfile
from schemas.decisions import MemberErased, MemberProfiled
from schemas.inputs import MemberEnrolled, MemberUpdated, Profile
from schemas.inputs import MemberErased as MemberErasedInput

_KEEP_KEY = (
    "INSERT INTO ledger.member_keys (member_id, key) VALUES (%s, %s)"
    " ON CONFLICT (member_id) DO UPDATE SET key = EXCLUDED.key"
)
_SET_PROFILE = (
    "INSERT INTO ledger.profiles AS p (member_id, profile, updated_at) VALUES (%s, %s, %s)"
    " ON CONFLICT (member_id) DO UPDATE"
    " SET profile = EXCLUDED.profile, updated_at = greatest(p.updated_at, EXCLUDED.updated_at)"
)
_MERGE_PROFILE = (
    "INSERT INTO ledger.profiles AS p (member_id, profile, updated_at)"
    " VALUES (%s, jsonb_strip_nulls(%s), %s) ON CONFLICT (member_id) DO UPDATE"
    " SET profile = jsonb_strip_nulls(p.profile || %s),"
    " updated_at = greatest(p.updated_at, EXCLUDED.updated_at)"
)
_KNOWN = "SELECT member_id, profile, updated_at FROM ledger.profiles WHERE member_id = ANY(%s)"
_BIRTHDAYS = (
    "SELECT member_id, (profile ->> 'birthday')::date FROM ledger.profiles"
    " WHERE member_id = ANY(%s) AND profile ->> 'birthday' IS NOT NULL"
)
_FULFILLING = """
SELECT member_id FROM ledger.profiles
WHERE member_id > %s AND (profile ->> 'region' = ANY(%s) OR profile -> 'tags' ?| %s)
ORDER BY member_id LIMIT %s
"""
_ERASE = (
    "DELETE FROM ledger.profiles WHERE member_id = %s",
    "DELETE FROM ledger.member_keys WHERE member_id = %s",
    "DELETE FROM ledger.dead_letters WHERE member_id = %s",
)


async def store_profiles(connection: Connection, batch: Batch) -> None:
    """Profiles of members, in the order of the inputs; erased ones leave nothing behind."""
    for work in batch.of_types(MemberEnrolled, MemberUpdated, MemberErasedInput):
        if work.kind != "applied" or not work.events:
            continue
        decision = work.events[work.decisive]
        if isinstance(decision, MemberErased):
            for statement in _ERASE:
                await connection.execute(statement, (work.member_id,))
        elif isinstance(decision, MemberProfiled):
            event = work.item.event
            assert isinstance(event, MemberEnrolled | MemberUpdated)
            profile = Jsonb(msgspec.to_builtins(event.data.profile))
            at = from_instant(work.item.occurred_at)
            key = batch.member_keys.get(work.member_id)
            if key is not None:
                await connection.execute(_KEEP_KEY, (work.member_id, key))
            if isinstance(event, MemberEnrolled):
                await connection.execute(_SET_PROFILE, (work.member_id, profile, at))
            else:
                await connection.execute(_MERGE_PROFILE, (work.member_id, profile, at, profile))


async def known_profiles(connection: Connection, members: Sequence[str]) -> dict[str, KnownProfile]:
    """The profiles of those members that have one."""
    if not members:
        return {}
    cursor = await connection.execute(_KNOWN, (list(members),))
    return {
        member_id: KnownProfile(msgspec.convert(profile, Profile), to_instant(updated_at))
        for member_id, profile, updated_at in await cursor.fetchall()
    }


async def known_birthdays(connection: Connection, members: Sequence[str]) -> dict[str, date]:
    """The birthdays of those members whose profile tells one."""
    cursor = await connection.execute(_BIRTHDAYS, (list(members),))
    return dict(await cursor.fetchall())


async def members_fulfilling(
    connection: Connection, conditions: Sequence[str], after: str, limit: int
) -> list[str]:
    """Members whose profile fulfils at least one of the conditions (`region:…`, `tag:…`), in the
    order of their ids, from behind `after` on."""
    asked: dict[str, list[str]] = {"region": [], "tag": []}
    for condition in conditions:
        kind, _, text = condition.partition(":")
        asked[kind].append(text)
    cursor = await connection.execute(_FULFILLING, (after, asked["region"], asked["tag"], limit))
    return [row[0] for row in await cursor.fetchall()]
