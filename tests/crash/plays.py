"""What a process does until it dies, how its successor goes on, and what has to be there before.

A play's `act` is what is killed and then, by another process, done again from its beginning, as a
supervisor or a caller without an answer does it: what happened already must not happen again.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import msgspec
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec.structs import replace

from analytics import feeds
from analytics.export import export
from audit.replay import replay
from cli.init import initialise
from ledger.application import Ledger
from ledger.core.program.form import Budget, Segment, SegmentWhen
from ledger.core.program.load import load_program
from ledger.crash import crash_point
from ledger.errors import LedgerError
from ledger.received import RecordRef, SourcePosition, TopicMove, received
from ledger.settings import Settings, load_settings
from projections import pages
from projections.rebuild import rebuild
from projections.runner import Runner
from schemas.decode import decode_record
from schemas.outcomes import CommandOutcome
from streams.command_outcomes import publish_outcomes
from streams.effects import EffectsPublisher
from streams.metrics import Metrics
from streams.scheduler import Scheduler
from streams.topics import COMMAND_OUTCOMES, EFFECTS
from tests.analytics.exported import compare
from tests.analytics.feed_reader import agrees, feeds_of
from tests.crash.story import BATCHES, CODES, COMMANDS, DIRECT, REWARDS, RIGHT
from tests.ledger.budgeted import BONUS, spent_of, with_budgets
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import GROUP, PARTITIONS, SHARDS, day, direct, purchase, returned
from tests.ledger.opened import check_log, instant, opened
from tests.ledger.test_promo_codes import with_codes

KAFKA_PARTITIONS = 8
"""Of the tests' topics."""


class Stage(NamedTuple):
    """Where a play is given."""

    url: str
    bootstrap: str


class Play(NamedTuple):
    """`finish`: what is done at the end by whoever is left, before the state is looked at."""

    name: str
    prepare: Callable[[Stage], None]
    act: Callable[[Stage], None]
    finish: Callable[[Stage], None]


def nothing(_: Stage) -> None:
    """Nothing to do."""


def raised(error: LedgerError) -> None:
    """What a part tells its worker when it cannot go on ends the play."""
    raise error


def with_ledger(stage: Stage, work: Callable[[Ledger], Awaitable[None]]) -> None:
    """Work with an open ledger; at the end its chain and its cache are checked."""
    settings = load_settings({}, database_url=stage.url, shards=SHARDS, partitions=PARTITIONS)

    async def do() -> None:
        async with opened(settings) as ledger:
            await work(ledger)

    asyncio.run(do())


# --- what every story begins with -----------------------------------------------------------------


def catalogue(stage: Stage) -> None:
    """A version with rewards, and the codes of the voucher."""
    program = load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)
    rewarding = replace(program, effective_from=day(-0.5), rewards=REWARDS)

    async def work(ledger: Ledger) -> None:
        await ledger.publish_program(rewarding)
        await ledger.load_codes("cinema", CODES)

    with_ledger(stage, work)


# --- appending ------------------------------------------------------------------------------------


def append(stage: Stage) -> None:
    """Every batch from the first on, as a zombie delivers them; then inputs of a till, then the
    retry of a dead letter."""

    async def work(ledger: Ledger) -> None:
        for batch, source in BATCHES:
            await ledger.handle(batch, source)
        await ledger.handle(direct(*DIRECT))
        for letter in await ledger.dead_letters(code="not_json"):
            if letter.source == "purchases":
                right = received(RIGHT, letter.record())
                await ledger.handle([right], retry_of=letter.id)

    with_ledger(stage, work)


def appended(stage: Stage) -> None:
    """The whole story, undisturbed."""
    catalogue(stage)
    append(stage)


# --- budgets --------------------------------------------------------------------------------------


def budgeted(stage: Stage) -> None:
    """A program version with a budget that is soon spent."""

    async def work(ledger: Ledger) -> None:
        await ledger.publish_program(with_budgets(Budget(id="spring", points=7 * BONUS + 1)))

    with_ledger(stage, work)


def spend_budget(stage: Stage) -> None:
    """One purchase after the other, by members of all shards, and a return: shards draw on the
    budget, then call back what others hold."""

    async def work(ledger: Ledger) -> None:
        for number in range(10):
            await ledger.handle(direct(purchase(f"m{number}", f"o{number}", amount=1)))
        await ledger.handle(direct(returned("m0", "o0", "r0")))
        await ledger.handle(direct(purchase("m10", "o10", amount=1)))

    with_ledger(stage, work)
    with psycopg.connect(stage.url, autocommit=True) as owner:
        assert spent_of(owner) == 7 * BONUS


# --- promo codes ----------------------------------------------------------------------------------

GENERATED = 1_000
"""Generated by the play."""


def with_series(stage: Stage) -> None:
    """A program version with promo codes, and no file of them left by another test."""

    async def work(ledger: Ledger) -> None:
        await ledger.publish_program(with_codes())

    with_ledger(stage, work)


def codes_file(stage: Stage) -> Path:
    """Where the play writes its codes."""
    return Path(gettempdir()) / f"{stage.url.rpartition('/')[2]}.csv"


def generate_codes(stage: Stage) -> None:
    """`points codes generate`."""
    with_ledger(stage, lambda ledger: _generate(ledger, codes_file(stage)))


async def _generate(ledger: Ledger, file: Path) -> None:
    await ledger.generate_codes("letter", GENERATED, file)


def use_codes(stage: Stage) -> None:
    """The file holds codes that are all valid, and all that are."""
    file = codes_file(stage)
    codes = file.read_text(encoding="ascii").splitlines()[1:]
    file.unlink()
    assert len(codes) == GENERATED

    async def work(ledger: Ledger) -> None:
        assert None not in [await ledger.promo_code(code) for code in codes[::50]]

    with_ledger(stage, work)


# --- effects --------------------------------------------------------------------------------------


def publish_effects(stage: Stage) -> None:
    """Publish what is pending of every shard, as a worker's publisher does."""

    async def work(ledger: Ledger) -> None:
        publisher = EffectsPublisher(
            log=ledger,
            bootstrap=stage.bootstrap,
            shards=lambda: range(SHARDS),
            metrics=Metrics(),
            on_fail=raised,
        )
        await publisher._producer.start()
        await publisher.publish(range(SHARDS))
        await publisher._producer.stop()

    with_ledger(stage, work)


def take_effects(stage: Stage) -> None:
    """Append what lies in the topic, which plays before this one have left records in: the ledger
    sees their ids, and none of them twice."""

    async def work(ledger: Ledger) -> None:
        values = await everything_in(stage.bootstrap, EFFECTS)
        events = [decode_record(value) for value in sorted(values)]
        items = [
            received(event, RecordRef(EFFECTS, 0, offset, b"k", b"{}"))
            for offset, event in enumerate(events)
        ]
        move = TopicMove(EFFECTS, 0, len(items), b"sum")
        outcomes = await ledger.handle(items, SourcePosition(GROUP, 0, (move,)))
        assert {outcome.kind for outcome in outcomes} <= {"applied", "duplicate"}
        # Two rewards, and the revocation of one for the return of what earned it.
        assert [o.kind for o in outcomes].count("applied") == len(set(values)) == 3

    with_ledger(stage, work)
    with psycopg.connect(stage.url, autocommit=True) as owner:
        # How often each was published is what may differ.
        owner.execute("UPDATE ledger.stream_positions SET next_offset = 0 WHERE topic = 'effects'")


# --- outcomes of commands -------------------------------------------------------------------------


def tell(stage: Stage) -> None:
    """Tell how the commands ended, as a worker does."""

    async def work(ledger: Ledger) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stage.bootstrap, acks="all")
        await producer.start()
        try:
            await publish_outcomes(ledger, producer, range(SHARDS))
        finally:
            await producer.stop()

    with_ledger(stage, work)


def all_told(stage: Stage) -> None:
    """Kafka has the outcome of each record of the story."""

    async def work(_: Ledger) -> None:
        values = await everything_in(stage.bootstrap, COMMAND_OUTCOMES)
        found = {msgspec.json.decode(value, type=CommandOutcome).id for value in values}
        assert found == {f"commands:0:{offset}" for offset in range(len(COMMANDS))}

    with_ledger(stage, work)


async def everything_in(bootstrap: str, topic: str) -> list[bytes]:
    """The values of all records of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="none")
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(KAFKA_PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        values: list[bytes] = []
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                values += [record.value for record in records]
        return values
    finally:
        await consumer.stop()


# --- due accounts ---------------------------------------------------------------------------------


def settle(stage: Stage) -> None:
    """One round of the scheduler, half a year later."""

    async def work(ledger: Ledger) -> None:
        scheduler = Scheduler(
            ledger=ledger,
            shards=SHARDS,
            stride=PARTITIONS,
            allowed_lateness=0,
            now=lambda: instant(300),
            partitions=lambda: range(PARTITIONS),
            oldest_unread=lambda _: None,
            heard=lambda _: instant(300),
            metrics=Metrics(),
            on_fail=raised,
        )
        await scheduler.round()
        assert await ledger.due_accounts(range(SHARDS), instant(300), 10) == []

    with_ledger(stage, work)


# --- a program version ----------------------------------------------------------------------------


def publish(stage: Stage) -> None:
    """A version that asks something new of every profile."""
    program = load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)
    segments = (
        Segment("northerners", SegmentWhen(region="north")),
        Segment("southerners", SegmentWhen(region="south")),
    )
    later = replace(program, effective_from=day(100), segments=segments)

    async def work(ledger: Ledger) -> None:
        await ledger.publish_program(later)

    with_ledger(stage, work)


# --- a new ledger ---------------------------------------------------------------------------------


def settings_of_new(stage: Stage) -> Settings:
    """Settings for a ledger on topics as they are in Kafka."""
    return load_settings(
        {},
        database_url=stage.url,
        kafka_bootstrap=stage.bootstrap,
        shards=KAFKA_PARTITIONS,
        partitions=KAFKA_PARTITIONS,
    )


def initialised(stage: Stage) -> None:
    """`points init`, in a database that is empty at first."""
    initialise(PROGRAM, settings_of_new(stage))


def emptied(stage: Stage) -> None:
    """A database without a ledger."""
    with psycopg.connect(stage.url, autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS audit_scratch CASCADE")
        owner.execute("DROP SCHEMA IF EXISTS api CASCADE")
        owner.execute("DROP SCHEMA read CASCADE")
        owner.execute("DROP SCHEMA ledger CASCADE")


def first_append(stage: Stage) -> None:
    """The new ledger can be used."""

    async def work() -> None:
        ledger = await Ledger.open(settings_of_new(stage))
        outcomes = await ledger.handle(direct(*DIRECT))
        assert [outcome.kind for outcome in outcomes] == ["refused", "applied"]
        await check_log(ledger)
        await ledger.close()

    asyncio.run(work())


# --- read models ----------------------------------------------------------------------------------


def fold(stage: Stage) -> None:
    """Fold in small batches."""
    Runner(stage.url, batch_events=4, step=crash_point).run(until_caught_up=True)


def folded(stage: Stage) -> None:
    """Read models at the end of a log with two program versions."""
    appended_and_published(stage)
    Runner(stage.url).run(until_caught_up=True)


def build_anew(stage: Stage) -> None:
    """Build a read model beside the one that is read, by small pages, and exchange them."""
    usual, pages.PAGE_ACCOUNTS = pages.PAGE_ACCOUNTS, 2
    try:
        rebuild(stage.url, "balances", step=crash_point)
    finally:
        pages.PAGE_ACCOUNTS = usual


def replayed(stage: Stage) -> None:
    """Fold the log beside the read models, and compare them."""
    assert replay(stage.url, step=crash_point).equal


def publish_feeds(stage: Stage) -> None:
    """Tell Kafka what changed, on topics of this stage's own, in rounds of a few shards."""
    usual, feeds.ROUND_BYTES_MAX = feeds.ROUND_BYTES_MAX, 4_096
    try:
        asyncio.run(feeds_of(stage.url, stage.bootstrap).run(until_caught_up=True))
    finally:
        feeds.ROUND_BYTES_MAX = usual


def feeds_agree(stage: Stage) -> None:
    """A reader that drops repeats by one comparison has exactly what the views say."""
    with psycopg.connect(stage.url, autocommit=True) as reader:
        asyncio.run(agrees(reader, stage.bootstrap))
        # The rows differ by which versions were told: not by who died.
        reader.execute("TRUNCATE read.feed_positions")


def export_folder(stage: Stage) -> Path:
    """Where the play exports to."""
    return Path(gettempdir()) / f"export-{stage.url.rpartition('/')[2]}"


def export_all(stage: Stage) -> None:
    """`points export`, in small files."""
    export(stage.url, export_folder(stage), rows_at_once=20)


def export_agrees(stage: Stage) -> None:
    """The files hold what the database holds, once."""
    folder = export_folder(stage)
    compare(stage.url, folder)
    shutil.rmtree(folder)


def nothing_left(stage: Stage) -> None:
    """Nothing is left of the build, and what was exchanged is kept."""
    with psycopg.connect(stage.url) as owner:
        found = owner.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read%'")
        assert {row[0] for row in found} == {"read", "read_old"}


def appended_and_published(stage: Stage) -> None:
    """A log with two program versions, so that members are computed anew, too."""
    appended(stage)
    publish(stage)


PLAYS = {
    "append": Play("append", catalogue, append, nothing),
    "budget": Play("budget", budgeted, spend_budget, nothing),
    "codes": Play("codes", with_series, generate_codes, use_codes),
    "notify": Play("notify", catalogue, append, nothing),
    "effects": Play("effects", appended, publish_effects, take_effects),
    "outcomes": Play("outcomes", appended, tell, all_told),
    "scheduler": Play("scheduler", appended, settle, nothing),
    "publish": Play("publish", appended, publish, nothing),
    "init": Play("init", emptied, initialised, first_append),
    "fold": Play("fold", appended_and_published, fold, nothing),
    "rebuild": Play("rebuild", folded, build_anew, nothing_left),
    "replay": Play("replay", folded, replayed, nothing),
    "export": Play("export", folded, export_all, export_agrees),
    "feeds": Play("feeds", folded, publish_feeds, feeds_agree),
}
"""By the first word of the crash points that they pass. (`worker`: a real one, see its tests.)"""
