"""Structured logs: one JSON object a line, on standard error or in a file.

Libraries (Faust, aiokafka, psycopg) go the same way, from WARNING on. A log line names topics,
offsets, shards and positions; never the data of a member.
"""

import logging
import sys
from pathlib import Path

import structlog

QUIET = (
    "faust",
    "mode",
    "aiokafka",
    "asyncio",
    "aiohttp",
    "psycopg",
    "streams.app",
    "streams.consumer",
)
"""Libraries (and our classes that extend Faust's) of which only warnings are of interest."""

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
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
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
