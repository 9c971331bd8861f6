"""What is looked at before the first record is consumed: a wrong start is refused, not repaired.

`ledger.application.Ledger.open` has already refused another schema version or another ledger.
"""

from collections.abc import Sequence

from aiokafka.errors import KafkaError

from ledger.errors import StartRefused
from streams.described import Described
from streams.topics import check_partitions, describe


def check_shards(shards: int, partitions: int) -> None:
    """Raises: StartRefused (partitions_divide_shards)."""
    if shards % partitions:
        raise StartRefused(
            f"POINTS_PARTITIONS={partitions} does not divide the {shards} shards of this ledger: "
            "each shard is fed by one partition. Use topics with a number of partitions that does.",
            "partitions_divide_shards",
        )


def check_program(currency: str, published: Sequence[str]) -> None:
    """`published`: the currency of each program version. Raises: StartRefused (no_program,
    other_currency)."""
    if not published:
        raise StartRefused(
            "No program is published, so nothing could be decided: run `points program publish "
            "FILE` first.",
            "no_program",
        )
    for other in published:
        if other != currency:
            raise StartRefused(
                f"A program version in {other} is published into a ledger in {currency}: this "
                "database was changed by hand. Restore it from a backup.",
                "other_currency",
            )


async def check_topics(bootstrap: str, partitions: int) -> Described:
    """The input topics. Raises: StartRefused (no_kafka, topics_missing,
    topic_partitions_differ)."""
    try:
        found = await describe(bootstrap)
    except (KafkaError, OSError) as error:
        raise StartRefused(
            f"Kafka at {bootstrap} cannot be reached ({error}): check POINTS_KAFKA_BOOTSTRAP, or "
            "run `points up` for an embedded one.",
            "no_kafka",
        ) from error
    check_partitions(found.partitions(), partitions)
    return found
