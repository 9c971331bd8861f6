"""Long work: one job after the other, each in a process of its own, with real progress.

A job is told to a process by its standard input, tells its progress by its standard output and ends
when that input ends: with the API it dies, however that ends. What is known of the jobs is kept in
files, so that a job that the API's end broke off is found as failed (`interrupted`).
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections import deque
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4

import msgspec
from msgspec import Struct

from api.problems import Problem
from api.scopes import Scope

log = logging.getLogger(__name__)

PART = "jobs"
"""The name among `State.parts`."""

AT_ONCE = 1
"""Jobs under way: each folds the log, and tills need what is left of the machine."""

WAITING_MAX = 10
"""Jobs that wait: an evening's work. More are turned away."""

WAITING_EACH_MAX = 3
"""Of these, of one caller: others get their turn after at most as many of each."""

KEPT_MAX = 50
"""Jobs that ended and can still be asked for; the oldest are forgotten."""

RESULT_BYTES_MAX = 16 << 20
"""16 MiB: a back-test's result with all its groups is some hundred kilobytes."""

END_SECONDS = 5.0
"""For a process that was asked to end, before it is killed."""

JobState = Literal["queued", "running", "done", "failed", "stopped"]


class JobKind(Struct, frozen=True):
    """Who may begin and stop such jobs, and who may look at them."""

    starts: Scope
    reads: Scope


KINDS = {
    "backtest": JobKind(Scope.PROGRAMS_WRITE, Scope.PROGRAMS_READ),
    "liability": JobKind(Scope.REPORTS_READ, Scope.REPORTS_READ),
    "value": JobKind(Scope.REPORTS_READ, Scope.REPORTS_READ),
    "uplift": JobKind(Scope.REPORTS_READ, Scope.REPORTS_READ),
    "rebuild": JobKind(Scope.OPERATIONS_WRITE, Scope.OPERATIONS_READ),
    "verify": JobKind(Scope.AUDIT_READ, Scope.AUDIT_READ),
}
"""The kinds of jobs."""


class JobError(Struct, frozen=True):
    """Why a job failed: stable code, one sentence."""

    code: str
    message: str


class Job(Struct, kw_only=True):
    """A job. `asked`: what it was told to do. `step`, `done` of `total` (0: not known yet): how far
    it is, in the units of the step. `result`: once it is done."""

    id: str
    kind: str
    state: JobState = "queued"
    by: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    step: str = ""
    done: int = 0
    total: int = 0
    asked: dict[str, Any]
    result: Any = None
    error: JobError | None = None


class Order(Struct, frozen=True):
    """What a process is told to do."""

    kind: str
    url: str
    asked: dict[str, Any]


class News(Struct, frozen=True, omit_defaults=True):
    """A line that a process tells: how far it is, or how it ended."""

    step: str = ""
    done: int = 0
    total: int = 0
    result: Any = None
    error: JobError | None = None


_news = msgspec.json.Decoder(News).decode
_job = msgspec.json.Decoder(Job).decode


class Jobs:
    """The jobs of one API process. `folder`: where they are kept; of one process at a time."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[str] = deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._lock: IO[bytes] | None = None
        self._closing = False

    def open(self) -> None:
        """Find what is kept; jobs that did not end are failed."""
        if self._folder.exists():
            self._take()

    def _take(self) -> bool:
        """Make the folder this process's; whether that can be."""
        if self._lock is not None:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self._folder / "lock").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise
        except OSError as error:
            log.warning("no jobs can be begun: %s cannot be used (%s)", self._folder, error)
            return False
        self._lock = lock
        for path in self._folder.glob("*.json"):
            try:
                job = _job(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                log.warning("the job in %s cannot be read and is left out", path)
                continue
            self._jobs[job.id] = job
            if job.state in ("queued", "running"):
                self._end(job, "failed", error=INTERRUPTED)
        self._forget()
        return True

    async def close(self) -> None:
        """End what runs; it is found as interrupted."""
        self._closing = True
        for job_id in list(self._waiting):
            self._end(self._jobs[job_id], "failed", error=INTERRUPTED)
        self._waiting.clear()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # their end is noted by then
        if self._lock is not None:
            self._lock.close()

    def all(self) -> list[Job]:
        """The jobs that are known, newest first."""
        return sorted(self._jobs.values(), key=lambda job: (job.created_at, job.id), reverse=True)

    def get(self, job_id: str) -> Job | None:
        """A job; None when there is none, or it was forgotten."""
        return self._jobs.get(job_id)

    def submit(self, kind: str, asked: dict[str, Any], by: str) -> Job:
        """Begin a job, or let it wait. Raises Problem (429 too_many_jobs,
        too_many_own_jobs; 503 no_jobs_here)."""
        if self._closing or not self._take():
            raise Problem(
                503,
                "no_jobs_here",
                "This process begins no jobs: its data folder cannot be used, or belongs to another"
                " API process; its log tells which.",
            )
        if len(self._waiting) >= WAITING_MAX:
            raise Problem(
                429,
                "too_many_jobs",
                f"{WAITING_MAX} jobs wait already: stop one, or ask again when one has ended.",
                headers={"Retry-After": "60"},
            )
        if sum(self._jobs[each].by == by for each in self._waiting) >= WAITING_EACH_MAX:
            raise Problem(
                429,
                "too_many_own_jobs",
                f"{WAITING_EACH_MAX} of your jobs wait already: stop one, or ask again when one has"
                " begun.",
                headers={"Retry-After": "60"},
            )
        job = Job(id=uuid4().hex, kind=kind, by=by, created_at=_now(), asked=asked)
        self._jobs[job.id] = job
        self._keep(job)
        self._waiting.append(job.id)
        self._begin()
        return job

    async def stop(self, job: Job) -> None:
        """Stop it, if it has not ended; it has when this returns."""
        if job.id in self._waiting:
            self._waiting.remove(job.id)
            self._end(job, "stopped")
            self._forget()
            return
        task = self._running.get(job.id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(0)  # its end is noted by then

    def _begin(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE and not self._closing:
            job = self._jobs[self._waiting.popleft()]
            job.state, job.started_at = "running", _now()
            self._keep(job)
            task = asyncio.create_task(self._work(job))
            self._running[job.id] = task
            task.add_done_callback(partial(self._done, job))

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        del self._running[job.id]
        if job.ended_at is None:
            if task.cancelled() and not self._closing:
                self._end(job, "stopped")
            else:
                self._end(job, "failed", error=INTERRUPTED if task.cancelled() else BROKEN)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job %s (%s) failed", job.id, job.kind, exc_info=error)
        self._forget()
        self._begin()

    async def _work(self, job: Job) -> None:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "api.job_work",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=RESULT_BYTES_MAX,
                start_new_session=True,
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # it may have begun all the same
            await _end_process(await starting)
            raise
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            order = msgspec.json.encode(Order(job.kind, self._url, job.asked))
            process.stdin.write(order + b"\n")
            await process.stdin.drain()
            async for line in process.stdout:
                news = _news(line)
                if news.error is not None:
                    self._end(job, "failed", error=news.error)
                elif news.result is not None:
                    job.done = job.total
                    job.result = news.result
                    self._end(job, "done")
                else:
                    job.step, job.done, job.total = news.step, news.done, news.total
                if job.ended_at is not None:
                    break  # what the process still does is nothing to wait for
        finally:
            await _end_process(process)

    def _end(self, job: Job, state: JobState, *, error: JobError | None = None) -> None:
        job.state, job.error, job.ended_at = state, error, _now()
        self._keep(job)

    def _keep(self, job: Job) -> None:
        path = self._path(job.id)
        beside = path.with_suffix(".new")
        try:
            beside.write_bytes(msgspec.json.encode(job))
            beside.replace(path)
        except OSError as error:
            log.warning("job %s cannot be kept in %s (%s)", job.id, path, error)

    def _forget(self) -> None:
        ended = [job for job in self.all() if job.ended_at is not None]
        for job in ended[KEPT_MAX:]:
            del self._jobs[job.id]
            self._path(job.id).unlink(missing_ok=True)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"


INTERRUPTED = JobError("interrupted", "The API ended while the job waited or ran: begin it again.")

BROKEN = JobError(
    "internal_error", "The job's process ended without an answer: the log of the API tells why."
)


def _now() -> datetime:
    return datetime.now(UTC)


async def _end_process(process: asyncio.subprocess.Process) -> None:
    """The process and all that it started end, also when we are cancelled meanwhile."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            continue
    await process.wait()
