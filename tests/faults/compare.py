"""Holds every member's balances and tier against the reference model.

The model (demo/reference) shares no code with the ledger. It is told every record in the order of
sending, before it is sent; it also says how each must end, which the generator had to know too.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import psycopg
import yaml

from demo.reference import ReferenceProgram
from tests.faults.records import CANCEL, COMMANDS, CONFIRM, RESERVE, Expected
from tests.faults.scene import PROGRAM

COLUMNS = ("available", "pending", "reserved", "expired", "granted", "debt", "tier")
"""All that the read model says of a member at a moment."""

NOTHING: Mapping[str, int | str] = {**dict.fromkeys(COLUMNS, 0), "tier": "none"}
"""Of a member who has no account."""

RESERVATIONS = {
    RESERVE: "redemption.reserve.v1",
    CONFIRM: "redemption.confirm.v1",
    CANCEL: "redemption.cancel.v1",
}
"""Their names in the model, which says `redemption_id` for `reservation_id`."""

SHOWN = 5
"""Members that a failed comparison names."""


class Disagreement(Exception):
    """The ledger and the model (or the generator) do not say the same."""


class Reference:
    """The model at work."""

    def __init__(self) -> None:
        self._model = ReferenceProgram(yaml.safe_load(PROGRAM.read_text(encoding="utf-8")))

    @property
    def members(self) -> int:
        """How many members it knows."""
        return len(self._model.members)

    def told(self, records: Iterable[Expected]) -> None:
        """These records are sent. Raises Disagreement when the generator expects another end."""
        for one in records:
            if one.record.event is None or one.record.event.get("subject") is None:
                continue  # poison, or without a member: nothing for the model
            outcome = self._model.apply(_for_the_model(one.record.event)).partition("(")[0]
            outcome = "dead_lettered" if outcome == "conflict" else outcome
            if outcome != one.outcome:
                raise Disagreement(
                    f"the generator expects {one.outcome}, the model {outcome}: {one.record.event}"
                )

    def compare(self, url: str, at: datetime) -> int:
        """Hold all read models' rows as of `at` against the model; how many members there are.
        Raises Disagreement."""
        with psycopg.connect(url) as connection:
            cursor = connection.execute("SELECT * FROM read.balance_at(%s)", (at,))
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            rows = {row[0]: dict(zip(names, row, strict=True)) for row in cursor}
        expected = {member: self._model.state(member, at) for member in self._model.members}
        wrong = []
        members = sorted(rows.keys() | expected.keys())
        for member in members:
            mine: Mapping[str, Any] = rows.get(member, NOTHING)
            theirs: Mapping[str, Any] = expected.get(member, NOTHING)
            wrong += [
                f"{member}: {name} is {mine[name]}, the model says {theirs[name]}"
                for name in COLUMNS
                if mine[name] != theirs[name]
            ]
        if wrong:
            raise Disagreement(
                f"{len(wrong)} figures differ as of {at.isoformat()}: " + "; ".join(wrong[:SHOWN])
            )
        return len(members)


def _for_the_model(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event as the model knows it. A command is the same by its source and id, the event's `id`
    alone here, where there is one source."""
    kind, data = event["type"], dict(event["data"])
    if kind not in COMMANDS:
        return event
    if kind in RESERVATIONS:
        data["redemption_id"] = data.pop("reservation_id")
    kind = RESERVATIONS.get(kind, kind)
    return {**event, "type": kind, "data": data, "idempotency_key": event["id"]}
