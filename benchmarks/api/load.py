"""The load, as Locust runs it in a process and an environment of its own; imports nothing of ours.

Open: calls come as in a Poisson process, whatever becomes of those before. A caller who is still
waiting when its next call is due makes it late; the milliseconds are counted from when it was due.
Closed: each asks again as soon as it was answered. What is counted begins after the warm-up. Writes
one JSON object: for each class of calls the milliseconds of all calls, and the failures.
"""

import itertools
import json
import os
import random
import time

import gevent
from locust import FastHttpUser, events, task

MIX = os.environ.get("MIX", "open")
"""`open`: reads, previews and changes; `changes`: changes only, as fast as they are answered."""

PER_CALLER = 2.0
"""Calls a second of one caller of the open load, on average. All callers at the same pace would
soon be in step: whoever waited for the same stall asks again at the same moment for ever."""

MEMBERS = int(os.environ.get("MEMBERS", "1000"))
WARM_SECONDS = float(os.environ.get("WARM", "5"))
KEY = os.environ["KEY"]
RUN = os.environ.get("RUN", "0")

_numbers = itertools.count()
_random = random.Random(7)
_took: dict[str, list[float]] = {}
_failed: dict[str, int] = {}
_begun: list[float] = []

LINES: list[dict[str, object]] = [
    {"line_id": str(n), "sku": str(100_000 + n), "amount": 150 + 10 * n, "category": "GROCERY"}
    for n in range(9)
]
BASKET: dict[str, object] = {
    "store_id": "367",
    "channel": "store",
    "currency": "USD",
    "lines": LINES,
}


@events.test_start.add_listener
def _start(**_: object) -> None:
    _begun.append(time.monotonic())


@events.request.add_listener
def _count(
    name: str, response_time: float, exception: object, context: dict[str, float], **_: object
) -> None:
    if time.monotonic() - _begun[0] < WARM_SECONDS:
        return
    response_time += context.get("late_ms", 0.0)
    if exception is not None:
        _failed[name] = _failed.get(name, 0) + 1
    else:
        _took.setdefault(name, []).append(response_time)


@events.quitting.add_listener
def _write(**_: object) -> None:
    seconds = time.monotonic() - _begun[0] - WARM_SECONDS
    with open(os.environ["RESULT"], "w") as file:
        json.dump({"took": _took, "failed": _failed, "seconds": seconds}, file)


class Caller(FastHttpUser):
    """One till, shop or screen."""

    connection_timeout = network_timeout = 30.0
    insecure = True

    def on_start(self) -> None:
        """The first call is due a random while after the start."""
        self._due = time.monotonic()
        gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until the next call is due; 0 when it is late."""
        if MIX != "open":
            return 0.0
        self._due += _random.expovariate(PER_CALLER)
        return max(0.0, self._due - time.monotonic())

    def context(self) -> dict[str, float]:
        """What is told of each call: how late it is made."""
        late = time.monotonic() - self._due if MIX == "open" else 0.0
        return {"late_ms": max(0.0, late * 1_000)}

    @property
    def _member(self) -> str:
        return f"m-{_random.randrange(MEMBERS):05}"

    def _head(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}"}

    def _change(self, path: str, body: dict[str, object]) -> None:
        headers = {**self._head(), "Idempotency-Key": f"{RUN}-{next(_numbers)}"}
        self.client.post(path, json=body, headers=headers, name="change")

    @task(12 if MIX == "open" else 0)
    def balance(self) -> None:
        self.client.get(f"/v1/members/{self._member}/balance", headers=self._head(), name="read")

    @task(3 if MIX == "open" else 0)
    def lots(self) -> None:
        path = f"/v1/members/{self._member}/lots"
        self.client.get(path, headers=self._head(), name="read")

    @task(5 if MIX == "open" else 0)
    def preview(self) -> None:
        path = f"/v1/members/{self._member}/preview"
        self.client.post(path, json=BASKET, headers=self._head(), name="preview")

    @task(5)
    def reserve(self) -> None:
        body = {"reservation_id": f"r-{RUN}-{next(_numbers)}", "points": 100}
        self._change(f"/v1/members/{self._member}/reservations", body)

    @task(5)
    def purchase(self) -> None:
        body = {**BASKET, "order_id": f"o-{RUN}-{next(_numbers)}"}
        self._change(f"/v1/members/{self._member}/purchases", body)
