"""Purchases into Kafka at a steady pace, or as fast as may be, while something else is measured.

python -m benchmarks.api.feeding BOOTSTRAP PER_SECOND SECONDS
"""

import asyncio
import sys
import time
from random import Random

from aiokafka import AIOKafkaProducer

from benchmarks.sets import purchase

MEMBERS = 10_000
"""Other members than those that callers ask about, as most of a shop's are."""

TICK_SECONDS = 0.01
LINGER_MS = 2


async def feed(bootstrap: str, per_second: int, seconds: float) -> None:
    """Send until the time is over."""
    random = Random(1)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=LINGER_MS)
    await producer.start()
    try:
        begun = time.perf_counter()
        number = 0
        while (passed := time.perf_counter() - begun) < seconds:
            if number / per_second > passed:
                await asyncio.sleep(TICK_SECONDS)
                continue
            member = f"fed-{random.randrange(MEMBERS):05}"
            name = f"fed-{time.time_ns()}"
            value = purchase(random, member, name, time.time_ns() // 1_000, 1_000)
            await producer.send("purchases", value, key=member.encode())
            number += 1
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(feed(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
