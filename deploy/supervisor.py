"""Runs several programs as one: starts them, merges what they write, starts again what dies.

A program that ends by itself is started again after a pause that doubles, up to a minute; one that
does so too often ends everything, for then a human is needed. Told to stop (SIGTERM, SIGINT), the
supervisor asks the programs to end in the reverse order of their start, and kills what does not.
Where the system can (Linux), programs are also told to end when the supervisor itself is killed.

All output is one stream of JSON lines: a line that is a JSON object gets the program's name put in,
any other becomes one.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from deploy.priority import give_way

PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 60.0
"""Before a program is started again: the first time, and at most."""

STEADY_SECONDS = 60.0
"""A program that ran so long is well: the next pause is the first one again."""

RESTARTS_MAX = 20
"""Starts of one program, without a steady time in between, before all is given up: about a quarter
of an hour of trying, longer than a restart of a database."""

STOP_SECONDS = 70.0
"""What a program may take to end before it is killed: above the worker's own bound of 60 s."""

LINE_BYTES_MAX = 1 << 20
"""Of one line of output; a longer one is cut. The longest are stack traces of some kilobytes."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: which signal a process gets when the one that started it dies."""


@dataclass
class Program:
    """One program. `said`: hears each line of its standard output, which is not logged then.
    `first`: it goes before those that are not on the processors (`deploy.priority`)."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    said: Callable[[str], None] | None = None
    first: bool = True


class GivenUp(Exception):
    """A program died too often; everything was stopped."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} ended {RESTARTS_MAX} times, at last with status {code}")
        self.name = name
        self.code = code


class Supervisor:
    """Runs programs until it is told to stop."""

    def __init__(self, programs: Sequence[Program], out: IO[bytes]) -> None:
        self._programs = programs
        self._out = out
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def stop(self) -> None:
        """Ask everything to end; `run` returns when it has."""
        self._stopping.set()

    async def run(self) -> None:
        """Start all and keep them running until `stop`, SIGTERM or SIGINT. Raises GivenUp."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        tasks = [asyncio.create_task(self._keep_running(program)) for program in self._programs]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            await self._end_all()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            stopped.cancel()
        for each in ended:
            if isinstance(each, BaseException):
                raise each

    async def _keep_running(self, program: Program) -> None:
        pause, starts = PAUSE_SECONDS, 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            code = await self._once(program)
            if self._stopping.is_set():
                return
            starts += 1
            if time.monotonic() - begun >= STEADY_SECONDS:
                pause, starts = PAUSE_SECONDS, 1
            self._log(program.name, "ended by itself", status=code, again_in_seconds=pause)
            if starts >= RESTARTS_MAX:
                raise GivenUp(program.name, code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _once(self, program: Program) -> int:
        """Run it to its end; its status."""
        # In a session of its own: Ctrl-C in the terminal reaches the supervisor alone.
        process = await asyncio.create_subprocess_exec(
            *program.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **program.environment},
            start_new_session=True,
            preexec_fn=_end_with_me if sys.platform == "linux" else None,
            limit=LINE_BYTES_MAX,
        )
        if not program.first:
            give_way(process.pid)
        self._running[program.name] = process
        if self._stopping.is_set():
            _send(process, signal.SIGTERM)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            await asyncio.gather(
                self._follow(program, process.stdout, program.said),
                self._follow(program, process.stderr, None),
            )
            return await process.wait()
        finally:
            del self._running[program.name]

    async def _follow(
        self, program: Program, lines: asyncio.StreamReader, said: Callable[[str], None] | None
    ) -> None:
        while True:
            try:
                line = await lines.readline()
            except ValueError:  # longer than LINE_BYTES_MAX: what was read so far is dropped
                self._log(program.name, "a line was too long and left out")
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip("\n")
            if said is not None:
                said(text)
            elif text:
                self._write(named(program.name, text))

    async def _end_all(self) -> None:
        """Ask the programs to end, the last started first, each before the next is asked."""
        for program in reversed(self._programs):
            process = self._running.get(program.name)
            if process is None:
                continue
            _send(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                self._log(program.name, "did not end and is killed", after_seconds=STOP_SECONDS)
                _send(process, signal.SIGKILL)
                await process.wait()

    def _log(self, name: str, event: str, **more: object) -> None:
        self._write(json.dumps({"process": name, "event": event, "level": "warning", **more}))

    def _write(self, line: str) -> None:
        self._out.write(line.encode() + b"\n")
        self._out.flush()


def named(name: str, line: str) -> str:
    """The line as a JSON object that tells the process. Whatever the line is (a library's text may
    hold what a stranger sent), it becomes one object, and cannot pass for another process's."""
    try:
        told = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        told = {"event": line}
    return json.dumps({"process": name} | told | {"process": name})


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _end_with_me() -> None:
    """In the child, before the program: have SIGTERM sent when the supervisor dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
