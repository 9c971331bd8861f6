"""Preparing an input: who is addressed, by what it is known, and whether it is taken at all.

Preparing asks nothing of the database. Here live the checks that no account is needed for: an
event that could not be decoded, one on another topic than its type's, one from the future, a call
that breaks the contract of the one door.
"""

from collections.abc import Sequence

from ledger.core.calendar import format_instant
from ledger.core.pairs import PAIRS, other_of
from ledger.dedupe import WITH_PROFILE, content_of, key_of, request_key, request_shard
from ledger.errors import BatchRefused
from ledger.received import DIRECT, INPUTS_MAX, Problem, Received, Sources, TopicMove, source_of
from ledger.sharding import shard_of
from ledger.work import Work
from schemas.fields import Instant
from schemas.inputs import TOPIC_OF_TYPE
from schemas.normal import subject_of
from schemas.routing import key_of as routing_key
from schemas.routing import type_of

TICK = "tick"
"""The type of a scheduler's input; ticks are not counted among the inputs."""

PROFILE = "profile"
"""The type of a task to look at a profile again; not counted either."""

OWN = frozenset((TICK, PROFILE))
"""The types of the ledger's own tasks."""

UNKNOWN = "unknown"
"""The type under which an input is counted that could not be decoded."""


def prepared(item: Received, shards: int, now: Instant, skew: Instant, retry: bool) -> Work:
    """The input as the batch takes it; `rejected` says why it is a dead letter. The rest as for
    `Batch`."""
    source = source_of(item)
    event = item.event
    if event is None:
        return _without_event(item, source, shards)
    type_name = type_of(event)
    member_id = subject_of(event)
    rejected = _wrong_topic(source, type_name) or _from_future(item, now, skew, retry)
    if rejected is not None:
        return Work(item, source, type_name, member_id=member_id, rejected=rejected)
    content = item.content
    if not content and type(event) not in WITH_PROFILE:
        content = content_of(event, item.occurred_at)
    shard = shard_of(routing_key(event), shards)
    work = Work(item, source, type_name, shard, member_id, key_of(event), content)
    if item.keyed and (request := request_key(event)) is not None:
        work.request = (request_shard(member_id, shard), request)
    if isinstance(event, PAIRS):
        other = other_of(event)
        assert other is not None, "each of these types names two"
        work.also = (shard_of(other, shards),)
    return work


def _without_event(item: Received, source: str, shards: int) -> Work:
    tick = item.tick
    if tick is not None:
        shard = tick.shard if tick.shard is not None else shard_of(tick.member_id, shards)
        return Work(item, source, TICK, shard, tick.member_id)
    if item.profile is not None:
        member_id = item.profile.member_id
        return Work(item, source, PROFILE, shard_of(member_id, shards), member_id)
    reason = item.undecodable or Problem(
        "empty", "$", "Neither an event nor a reason was handed over."
    )
    return Work(item, source, UNKNOWN, rejected=reason)


def _wrong_topic(source: str, type_name: str) -> Problem | None:
    """Who may write to one topic may not write what belongs to another."""
    if source == DIRECT or TOPIC_OF_TYPE[type_name] == source:
        return None
    return Problem(
        "wrong_topic",
        "$.type",
        f"{type_name} is not taken from the topic {source}: publish it to"
        f" {TOPIC_OF_TYPE[type_name]}.",
    )


def _from_future(item: Received, now: Instant, skew: Instant, retry: bool) -> Problem | None:
    latest = now
    arrived = item.record.timestamp if item.record is not None and not retry else None
    if arrived is not None and arrived >= 0:  # Kafka says -1 when it does not know
        latest = min(now, arrived * 1_000)
    if item.occurred_at <= latest + skew:
        return None
    return Problem(
        "from_future",
        "$.time",
        f"time is {format_instant(item.occurred_at)}, but it arrived at"
        f" {format_instant(latest)}: check the sender's clock, then retry.",
    )


def check_call(inputs: Sequence[Received], sources: Sources | None, retry_of: int | None) -> None:
    """Raises BatchRefused for a call of handle() that breaks its contract."""
    if len(inputs) > INPUTS_MAX:
        raise BatchRefused(f"A batch has {len(inputs)} inputs; the most is {INPUTS_MAX}: split it.")
    if retry_of is not None and (len(inputs) != 1 or sources):
        raise BatchRefused("A retry is one input, without a source position.")
    if not sources:
        return
    if any(source.group != sources[0].group for source in sources):
        raise BatchRefused("An append moves the offsets of one group.")
    moves: dict[tuple[str, int], TopicMove] = {}
    for source in sources:
        for each in source.moves:
            if moves.setdefault((each.topic, source.partition), each) is not each:
                raise BatchRefused("A topic is named twice in the source position.")
    for item in inputs:
        record = item.record
        move = None if record is None else moves.get((record.topic, record.partition))
        if record is None or move is None:
            raise BatchRefused("An input is not of the stretch that the source position names.")
        if not move.from_offset <= record.offset < move.next_offset:
            raise BatchRefused(
                f"Offset {record.offset} of {record.topic} is outside of the stretch"
                f" {move.from_offset} to {move.next_offset}."
            )
