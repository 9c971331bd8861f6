"""Logs of the parts under test as plain lines: structlog's default would draw every local."""

import structlog

structlog.configure(
    processors=[
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ],
)
