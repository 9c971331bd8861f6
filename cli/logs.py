"""Structured logs: one JSON object a line, on standard error or in a file.

The set-up of every process that runs until stopped; the packages themselves only log. Libraries
(Faust, aiokafka, psycopg) go the same way, from WARNING on. A log line names topics, offsets,
shards, positions and opaque member ids; never the data of a member.
"""

import logging
import sys
from pathlib import Path

import structlog

LIBRARIES = ("faust", "mode", "aiokafka", "asyncio", "aiohttp", "httpx", "httpcore", "psycopg")

QUIET = (
    *LIBRARIES,
    "streams.app",
    "streams.consumer",
    "streams.fetching",
)
"""Libraries (and our classes that extend Faust's) of which only warnings are of interest."""

REPEAT_SECONDS = 10.0
"""A library's message with the same wording is logged once in that time: while a broker is away,
aiokafka says so forty times a second."""

WORDINGS_MAX = 1_000
"""Wordings remembered; the libraries have some hundreds."""


class _NowAndThen(logging.Filter):
    """Lets a message through once in REPEAT_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        if not record.name.startswith(LIBRARIES):
            return True
        wording = (record.name, str(record.msg)[:80])
        if record.created - self._logged_at.get(wording, 0.0) < REPEAT_SECONDS:
            return False
        if len(self._logged_at) >= WORDINGS_MAX:
            self._logged_at.clear()
        self._logged_at[wording] = record.created
        return True


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    # Without local variables: they would hold members' data.
    structlog.processors.format_exc_info,
]


def configure(path: Path | None = None) -> None:
    """Log to `path` (appending), or to standard error."""
    handler: logging.Handler = (
        logging.StreamHandler(sys.stderr) if path is None else logging.FileHandler(path)
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # What the standard library's loggers were given as `extra` becomes fields of the line.
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    handler.addFilter(_NowAndThen())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
