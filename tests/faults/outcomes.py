"""The topic `command_outcomes`, held against the account: what became of each command.

Read by its own means, as a till would: every record of `commands` has an outcome under an id made
of its place, and whatever is published under that id again says the same. Outcomes of one member
come in the order of the decisions.
"""

import json
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.topics import COMMAND_OUTCOMES
from tests.faults.records import Expected
from tests.faults.scene import PARTITIONS

FETCH_MS = 200
"""How long one fetch waits for records."""

Place = tuple[int, int]
"""Partition and offset in the topic `commands`."""


class WrongOutcome(Exception):
    """A command has no outcome, or another one than it should."""


class Outcomes:
    """Reads on where it stopped. `twice`: how many outcomes were published again."""

    def __init__(self) -> None:
        self._next = dict.fromkeys(range(PARTITIONS), 0)
        self._told: dict[Place, bytes] = {}
        self._decided: dict[str, tuple[int, int]] = {}
        self._at: dict[str, tuple[int, int]] = {}
        self.twice = 0

    @property
    def told(self) -> int:
        """Commands that have an outcome."""
        return len(self._told)

    async def read(self, bootstrap: str, sent: Mapping[Place, Expected]) -> None:
        """Read what came, and check that each of the commands sent so far has its outcome. Raises
        WrongOutcome, KafkaError."""
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="none")
        await consumer.start()
        try:
            places = {TopicPartition(COMMAND_OUTCOMES, n): n for n in self._next}
            consumer.assign(list(places))
            ends = await consumer.end_offsets(list(places))
            for place, n in places.items():
                consumer.seek(place, self._next[n])
            while any(self._next[n] < ends[place] for place, n in places.items()):
                for place, records in (await consumer.getmany(timeout_ms=FETCH_MS)).items():
                    for one in records:
                        self.heard(one.key, one.value, sent)
                    self._next[place.partition] = records[-1].offset + 1
        finally:
            await consumer.stop()
        self.complete(sent)

    def complete(self, sent: Mapping[Place, Expected]) -> None:
        """Check that each of these has its outcome. Raises WrongOutcome."""
        without = sorted(sent.keys() - self._told.keys())
        if without:
            raise WrongOutcome(f"{len(without)} commands without an outcome, such as {without[:5]}")

    def heard(self, key: bytes | None, value: bytes, sent: Mapping[Place, Expected]) -> None:
        """One record of the topic. Raises WrongOutcome."""
        event = json.loads(value)
        if (event["specversion"], event["type"]) != ("1.0", "command.outcome.v1"):
            raise WrongOutcome(f"not an outcome: {event}")
        topic, partition, offset = event["id"].split(":")
        place = int(partition), int(offset)
        if topic != "commands" or place not in sent:
            raise WrongOutcome(f"an outcome of what was never sent: {event}")
        if place in self._told:
            self.twice += 1
            if self._told[place] != value:
                raise WrongOutcome(f"published again it says something else: {event}")
            return
        self._told[place] = value
        self._check(key, event, sent[place])

    def _check(self, key: bytes | None, event: Mapping[str, Any], expected: Expected) -> None:
        data, command = event["data"], expected.record.event
        subject = event.get("subject")
        if key != (None if subject is None else subject.encode()):
            raise WrongOutcome(f"under the key {key!r}: {event}")
        says = data["outcome"], data.get("code")
        wants = expected.outcome, expected.code
        if says != wants:
            raise WrongOutcome(f"{says} and not {wants}: {event}")
        if command is None:
            return
        if (subject, data["command_id"]) != (command["subject"], command["id"]):
            raise WrongOutcome(f"it is of {command}: {event}")
        if expected.outcome == "dead_lettered":
            return
        at = data["shard"], data["position"]
        first = self._decided.setdefault(command["id"], at)
        if first != at:
            raise WrongOutcome(f"the command was decided at {first}: {event}")
        if expected.outcome != "duplicate":
            before = self._at.get(command["subject"], (at[0], 0))
            if at <= before or at[0] != before[0]:
                raise WrongOutcome(f"the member's last outcome was at {before}: {event}")
            self._at[command["subject"]] = at
