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

from benchmarks.scale import database, histories, report, state, steps, watch, writer
from benchmarks.scale.histories import HISTORIES, Histories
from benchmarks.scale.state import Size, State
from benchmarks.scale.steps import Step
from deploy import embedded
from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError
from ledger.settings import PREFIX
from projections.builds import FOLLOWED_EVENTS_MAX

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

  verify       every hash, dedupe row, version and row of the read models (audit verify)
  rebuild      each read model from the first event on (projections rebuild)
  replay       all of them again, every row compared (audit replay)
  decide again every input decided anew and compared byte for byte (audit redecide)
  back-test    the whole history under another program (program backtest)
  as of        one member at a past moment

The log grows to 2, 5, 10 and 20 million events (a tenth, a quarter, a half, all of --events). An
eighth of its shards is verified and decided again at every size; the rest is measured at the first
and at the last. Every step is written down: running it again goes on where it stopped. At the end
the database is removed (--keep leaves it); the figures stay. docs/performance.md tells more.

It takes some 45 GB of disk and, beside other work, hours; a tenth of it: --events 2000000
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
    parser.add_argument("--keep", action="store_true", help="leave the database at the end")
    parser.add_argument("--fresh", action="store_true", help="throw away what is there and begin")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if not 10 <= options.members <= 10**histories.MARK_LENGTH:
        parser.error("--members: from 10 to ten million")
    if not 2 <= options.events // options.members <= 100:
        parser.error("--events: from 2 to 100 for each member")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # what is measured has the settings of the documentation
    folder = options.data_dir.expanduser().resolve()
    try:
        if options.fresh:
            _remove(folder)
        found = Run(folder, options.events, options.members).go(keep=options.keep)
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
    """One run in a folder, begun or gone on with."""

    def __init__(self, folder: Path, events: int, members: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = state.load(folder, events, members)
        self.rates: dict[str, float] = {}
        self.since = time.monotonic()

    def go(self, *, keep: bool) -> State:
        """Do what is left to do; the figures."""
        if self.state.ended:
            _say("all was measured before: --fresh measures anew")
            return self.state
        services = database.start(self.folder / "services", _say)
        try:
            self._all(services)
        finally:
            self._store()
            if not (self.state.ended and not keep):
                embedded.stop(self.folder / "services")
        if not keep:
            embedded.remove(self.folder / "services", progress=_say)
        return self.state

    def _all(self, services: embedded.Services) -> None:
        known = self._histories(services)
        url = database.ledger(services, database.LOG)
        before = 0
        for place, part in enumerate(SIZES):
            members = max(1, round(self.state.members * part))
            if len(self.state.sizes) == place:
                self.state.sizes.append(Size(writer.events_of(known.lengths, members), members))
            size = self.state.sizes[place]
            self._grow(services, url, before, size)
            for step in self._steps(place):
                if step.name not in size.took:
                    if step.name.startswith("rebuild "):
                        self._catch_up(services, url, place)
                    self._step(services, url, size, step)
            if size.as_of_ms is None:
                size.as_of_ms = steps.ask_as_of(url, members)
                size.bytes = database.size_of(url)
                self._store()
            before = members
        self.state.ended = True

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

    def _steps(self, place: int) -> list[Step]:
        some = steps.every(self.folder)
        if place in (0, len(SIZES) - 1):
            some += steps.whole(self.folder)
        return some

    def _grow(self, services: embedded.Services, url: str, before: int, size: Size) -> None:
        name = "grow"
        if name in size.took:
            return
        fresh = size.events - (0 if not before else self._events_before(size))
        left = self._left()
        _say(f"{size.events:,} events: writing {fresh:,} of them ({left})")
        arguments = (url, str(self.folder / "histories"), str(before), str(size.members))
        took, _ = watch.run(
            arguments,
            {},
            services.postgres_pid,
            fresh,
            self.folder / "grow.log",
            "benchmarks.scale.grow",
        )
        size.took[name] = took
        self.rates[name] = took.wall / fresh * 1e6
        _say(f"  {took.wall:,.0f} s, {took.micros(took.wall):,.1f} µs/event")
        self._store()

    def _events_before(self, size: Size) -> int:
        sizes = self.state.sizes
        return sizes[sizes.index(size) - 1].events

    def _step(self, services: embedded.Services, url: str, size: Size, step: Step) -> None:
        _say(f"{size.events:,} events: {step.name} ({self._left()})")
        log = self.folder / f"{size.events}-{step.name.replace(' ', '-').replace('/', '-')}.log"
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
        if step.name.startswith("rebuild "):
            self._drop_old(services, url, step)
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

    def _drop_old(self, services: embedded.Services, url: str, step: Step) -> None:
        """What was read before is kept for a way back; nobody here wants to go back."""
        watch.run(
            ("projections", "drop-old", step.name.removeprefix("rebuild ")),
            {"POINTS_DATABASE_URL": url},
            services.postgres_pid,
            0,
            self.folder / "drop-old.log",
        )

    def _left(self) -> str:
        """How long the rest will take, by what was measured so far."""
        seconds, before = 0.0, 0
        for place, part in enumerate(SIZES):
            done = self.state.sizes[place].took if place < len(self.state.sizes) else {}
            events = round(self.state.events * part)
            if "grow" not in done:
                seconds += (events - before) * self.rates.get("grow", GROW_MICROS) / 1e6
            before = events
            for step in self._steps(place):
                if step.name not in done:
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
