"""The command line: `make bench-scale`, or `.venv/bin/python -m benchmarks.scale`.

Prints the figures, or one JSON object; what is being done, and how long it will take, goes to
standard error. Ctrl-C ends it, and the same command goes on with the step that it did not finish.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from benchmarks.scale import database, histories, report, state, steps, watch, writer
from benchmarks.scale.histories import HISTORIES, Histories
from benchmarks.scale.state import Size, State
from benchmarks.scale.steps import Step
from deploy import embedded
from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError
from ledger.settings import PREFIX
from projections.builds import FOLLOWED_EVENTS_MAX
from projections.rebuild import drop_old
from projections.runner import read_models

EVENTS, MEMBERS = 20_000_000, 1_000_000

FOLDER = Path(".points") / "bench-scale"

SIZES = (0.1, 0.25, 0.5, 1.0)
"""Of the members: 2, 5, 10 and 20 million events."""

EXIT_INTERRUPTED = 130
"""As a shell says it of Ctrl-C."""

GROW_MICROS = 25.0
"""Of wall to write an event, before it was measured."""

ABOUT = """\
Write a log of twenty million events over a million members, and measure what the audit makes of it:

  rebuild         every read model from the first event on (projections rebuild all)
  verify          every hash, dedupe row, version and row of the read models (audit verify)
  replay          all read models folded once more, every row compared (audit replay)
  decide          every input decided again and compared byte for byte (audit redecide)
  back-test       the whole history under another program (program backtest)
  verify-part, decide-part, back-test-part
                  a sixteenth: of the shards (without read models), of the shards, of the members
  as-of           one member at a past moment

The log grows to 2, 5, 10 and 20 million events (a tenth, a quarter, a half, all of --events). What
is named -part, and as-of, is measured at each of these sizes, the rest at the first and the last.
Every step is written down: running it again goes on where it stopped, or prints what was measured.
When nothing is left to do the database is removed, unless --keep; the figures stay.
docs/performance.md tells more.

It takes some 45 GB of disk, and an hour on two cores; a tenth of it: --events 2000000
--members 100000.

Example: make bench-scale ARGS="--events 200000 --members 10000 --json"
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.scale",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=EVENTS, help="in the log at last")
    parser.add_argument("--members", type=int, default=MEMBERS, help="who have them, at last")
    parser.add_argument(
        "--data-dir", type=Path, default=FOLDER, help=f"where it all lies (default {FOLDER})"
    )
    parser.add_argument(
        "--only",
        metavar="STEP",
        action="append",
        choices=steps.NAMES,
        help=f"only these ({', '.join(steps.NAMES)}); what the log has outgrown is never measured",
    )
    parser.add_argument("--keep", action="store_true", help="leave the database at the end")
    parser.add_argument("--fresh", action="store_true", help="throw away what is there and begin")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if not 10 <= options.members <= 10**histories.MARK_LENGTH:
        parser.error("--members: from 10 to ten million")
    if not 2 <= options.events // options.members <= 100:
        parser.error("--events: from 2 to 100 for each member")
    # Also where whoever starts it in the background has it ignored: commands are ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # what is measured has the settings of the documentation
    folder = options.data_dir.expanduser().resolve()
    try:
        if options.fresh:
            _remove(folder)
        found = Run(folder, options.events, options.members, options.only or steps.NAMES).go(
            keep=options.keep
        )
    except (EmbeddedServicesError, LedgerError) as error:
        print(f"error [{error.code}] {error.message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted: the same command goes on from here")
        sys.exit(EXIT_INTERRUPTED)
    if options.json:
        print(json.dumps(report.as_json(found), indent=2))
    else:
        print(report.text(found))


class Run:
    """One run in a folder, begun or gone on with. `only`: the steps that are wanted."""

    def __init__(self, folder: Path, events: int, members: int, only: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.only = only
        self.state = state.load(folder, events, members)
        self.rates: dict[str, float] = {}
        self.since = time.monotonic()

    def go(self, *, keep: bool) -> State:
        """Do what is left to do; the figures."""
        if self._all_done():
            _say("all of it was measured before: --fresh measures anew")
        else:
            services = database.start(self.folder / "services", _say)
            try:
                self.measure(services)
            finally:
                self._store()
                embedded.stop(self.folder / "services")
        if not keep:
            embedded.remove(self.folder / "services", progress=_say)
        return self.state

    def _all_done(self) -> bool:
        if len(self.state.sizes) < len(SIZES):
            return False
        last = self.state.sizes[-1]
        return not self._wanted(len(SIZES) - 1, last) and not self._as_of_wanted(last)

    def measure(self, services: embedded.Services) -> None:
        """Grow the log from size to size, and measure what is wanted at each."""
        known = self._histories(services)
        url = database.ledger(services, database.LOG)
        before = 0
        for place, part in enumerate(SIZES):
            members = max(1, round(self.state.members * part))
            outgrown = len(self.state.sizes) > place + 1
            if len(self.state.sizes) == place:
                self.state.sizes.append(Size(writer.events_of(known.lengths, members), members))
            size = self.state.sizes[place]
            if not outgrown:
                self._measure(services, url, place, before)
            before = size.members

    def _measure(self, services: embedded.Services, url: str, place: int, before: int) -> None:
        size = self.state.sizes[place]
        self._grow(services, url, before, size)
        if self._as_of_wanted(size):
            size.as_of_ms = steps.ask_as_of(url, size.members)
            size.bytes = database.size_of(url)
            _say(f"{size.events:,} events: a member as of then, {size.as_of_ms[0]:.1f} ms")
            self._store()
        for step in self._wanted(place, size):
            if step.name == steps.REBUILD:
                self._catch_up(services, url, place)
            self._step(services, url, size, step)

    def _wanted(self, place: int, size: Size | None) -> list[Step]:
        """What is to be measured at a size and was not yet."""
        some = steps.of_every_size(self.folder)
        if place in (0, len(SIZES) - 1):
            some += steps.whole(self.folder)
        done = size.took if size is not None else {}
        return [step for step in some if step.name in self.only and step.name not in done]

    def _as_of_wanted(self, size: Size) -> bool:
        return steps.AS_OF in self.only and size.as_of_ms is None

    def _histories(self, services: embedded.Services) -> Histories:
        file = self.folder / "histories"
        if not file.exists():
            (self.folder / steps.OTHER_PROGRAM).write_text(_other_program(), encoding="utf-8")
            # Each smallest cohort has every history, where it can.
            count = min(HISTORIES, max(1, round(self.state.members * SIZES[0])))
            each = self.state.events // self.state.members
            _say(f"{count:,} histories of {each} events on average, decided by the ledger")
            database.drop(services, database.HISTORIES)
            url = database.ledger(services, database.HISTORIES)
            decided = histories.decide(url, count, each)
            database.drop(services, database.HISTORIES)
            part = file.with_suffix(".part")
            part.write_bytes(histories.encode(decided))
            part.rename(file)
        return histories.decode(file.read_bytes())

    def _grow(self, services: embedded.Services, url: str, before: int, size: Size) -> None:
        if steps.GROW in size.took:
            return
        fresh = size.events - self._events_before(size)
        _say(f"{size.events:,} events: writing {fresh:,} of them ({self._left()})")
        arguments = (url, str(self.folder / "histories"), str(before), str(size.members))
        took, written = watch.run(
            arguments,
            {},
            services.postgres_pid,
            fresh,
            self.folder / "grow.log",
            "benchmarks.scale.grow",
        )
        # What was there already, of a run that was broken off, is not in the time.
        took = msgspec.structs.replace(took, events=int(written))
        size.took[steps.GROW] = took
        self.rates[steps.GROW] = took.micros(took.wall)
        _say(f"  {took.wall:,.0f} s, {took.micros(took.wall):,.1f} µs/event")
        self._store()

    def _events_before(self, size: Size) -> int:
        place = self.state.sizes.index(size)
        return self.state.sizes[place - 1].events if place else 0

    def _step(self, services: embedded.Services, url: str, size: Size, step: Step) -> None:
        _say(f"{size.events:,} events: {step.name} ({self._left()})")
        log = self.folder / f"{size.events}-{step.name}.log"
        took, _ = watch.run(
            step.arguments,
            {"POINTS_DATABASE_URL": url},
            services.postgres_pid,
            size.events // step.part,
            log,
        )
        size.took[step.name] = took
        self.rates[step.name] = took.micros(took.wall)
        _say(
            f"  {took.wall:,.0f} s; µs/event: {took.micros(took.wall):,.1f} of wall,"
            f" {took.micros(took.cpu):,.1f} of CPU and {took.micros(took.postgres_cpu):,.1f} of"
            f" PostgreSQL's; {took.peak_mib} MiB"
        )
        if step.name == steps.REBUILD:
            self._drop_old(url)
        self._store()

    def _catch_up(self, services: embedded.Services, url: str, place: int) -> None:
        """A rebuild of what is read and a little behind goes no further than that: in a small run
        nothing would be measured. In a large one what is read is left behind."""
        last = self.state.sizes[place].events
        if place and last - self.state.sizes[0].events <= FOLLOWED_EVENTS_MAX:
            watch.run(
                ("projections", "run", "--until-caught-up"),
                {"POINTS_DATABASE_URL": url},
                services.postgres_pid,
                0,
                self.folder / "catch-up.log",
            )

    def _drop_old(self, url: str) -> None:
        """What was read before is kept for a way back; nobody here wants to go back."""
        for model in read_models():
            drop_old(url, model.name)

    def _left(self) -> str:
        """How long the rest will take, by what was measured so far."""
        seconds, before, sizes = 0.0, 0, self.state.sizes
        for place, part in enumerate(SIZES):
            size = sizes[place] if place < len(sizes) else None
            events = round(self.state.events * part)
            if size is None or steps.GROW not in size.took:
                seconds += (events - before) * self.rates.get(steps.GROW, GROW_MICROS) / 1e6
            before = events
            if place + 1 >= len(sizes):
                for step in self._wanted(place, size):
                    rate = self.rates.get(step.name, step.micros)
                    seconds += events / step.part * rate / 1e6
        minutes = seconds / 60
        return f"about {minutes:,.0f} min left" if minutes >= 1 else f"about {seconds:.0f} s left"

    def _store(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self.since
        self.since = now
        state.store(self.folder, self.state)


def _other_program() -> str:
    text = (files("demo") / "program.yaml").read_text(encoding="utf-8")
    other = text.replace("{points: 1, per_amount: 100}", "{points: 2, per_amount: 100}", 1)
    assert other != text, "the demo's program gives a point for each dollar"
    return other


def _remove(folder: Path) -> None:
    if folder.exists():
        embedded.remove(folder / "services", progress=_say)
        shutil.rmtree(folder)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
