"""What goes wrong behind the API: whose fault it is, and what is told of it."""

import logging
from typing import Any

import httpx
import pytest

from api.door import Door
from ledger.errors import AppendFailed, HeadDiffers, LedgerError, LogWentBack
from tests.api.calls import basket, change


@pytest.mark.parametrize(
    "error",
    [
        AppendFailed("The database refused: relation ledger.secret."),
        HeadDiffers(1, 2, "ledger.secret differs"),
        LogWentBack(1, 3, 2),
    ],
)
def test_what_is_not_the_callers_fault_is_in_the_log_alone(
    play: Any,
    error: LedgerError,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Door, "change", failing)

    async def story(client: httpx.AsyncClient) -> None:
        answer = await change(client, "/members/anna/purchases", basket(order_id="o1"))
        assert answer.status_code == 500
        problem = answer.json()
        assert problem["code"] == error.code
        assert error.message not in problem["detail"]
        assert problem["correlation_id"] in problem["detail"]

    with caplog.at_level(logging.ERROR):
        play(story)
    assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)
