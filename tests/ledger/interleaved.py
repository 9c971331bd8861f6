"""An append between the deciding and the locking of another."""

from collections.abc import Awaitable, Callable

import pytest

from ledger import reading
from ledger.application import Ledger
from ledger.lookups import Connection
from ledger.received import Outcome, Received


async def interleave(
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
    batch: list[Received],
    between: Callable[[], Awaitable[object]],
) -> list[Outcome]:
    """Handle `batch`; `between` happens after it was decided, before its locks are taken: as it
    does with large batches."""
    monkeypatch.setattr(reading, "UNDER_LOCK_MAX", 0)
    return await before_locks(monkeypatch, ledger, batch, between)


async def before_locks(
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
    batch: list[Received],
    between: Callable[[], Awaitable[object]],
) -> list[Outcome]:
    """Handle `batch`; `between` happens just before its locks are taken, decided or not."""
    real = ledger._lock

    async def late(connection: Connection, *rest: object) -> object:
        monkeypatch.setattr(ledger, "_lock", real)
        await between()
        return await real(connection, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "_lock", late)
    return await ledger.handle(batch)
