"""Batches that aiokafka's producer would not make: headers whose names are not UTF-8."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c

MARK = "NAME-TO-REPLACE"
"""A header so named gets the bytes below; of the same length, so that nothing else moves."""

BAD_NAME = b"\xff\xfe" + b"\x80" * (len(MARK) - 2)

CRC_AT, CRC_FROM = 17, 21
"""Where a batch keeps the checksum of its rest, and where that begins."""

Headers = list[tuple[str, bytes | None]]
Row = tuple[bytes | None, bytes | None, Headers]


def batch(rows: Sequence[Row], codec: int = 0, *, timestamp: int = 1_000) -> bytes:
    """A batch of format 2. `codec`: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 24)
    for offset, (key, value, headers) in enumerate(rows):
        assert builder.append(offset, timestamp + offset, key, value, headers) is not None
    # Before it is compressed and its checksum taken.
    builder._buffer = bytearray(bytes(builder._buffer).replace(MARK.encode(), BAD_NAME))
    return bytes(builder.build())


async def send_batch(bootstrap: str, topic: str, partition: int, data: bytes, records: int) -> None:
    """Produce a batch as it is."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        made = producer.create_batch()
        for _ in range(records):
            assert made.append(key=None, value=b"", timestamp=None) is not None
        made.close()
        made._buffer = bytearray(data)
        await (await producer.send_batch(made, topic, partition=partition))


def with_checksum(data: bytes) -> bytes:
    """A batch that was changed, with the checksum that it should have."""
    crc: int = calc_crc32c(data[CRC_FROM:])
    return data[:CRC_AT] + crc.to_bytes(4, "big") + data[CRC_FROM:]
