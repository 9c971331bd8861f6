"""Fixtures of integration tests: real PostgreSQL, real Kafka, a fresh database, fresh topics.

The services start once in a test run, in a temporary folder. TEST_SERVICES_DIR names a folder whose
services stay up between runs (quicker while developing). Nothing here is faked.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy import embedded
from streams.topics import ensure_topics, topic_partitions
from tests.databases import new_database, server_of

PARTITIONS = 8
"""Of the tests' topics: the settings' default."""

TOPICS_GONE_SECONDS = 300.0
"""Deleting topics takes Kafka a second or two."""


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Services]:
    """PostgreSQL and Kafka, running."""
    kept = os.environ.get("TEST_SERVICES_DIR")
    if kept is not None:
        yield without_fsync(embedded.start(Path(kept)))
        return
    folder = tmp_path_factory.mktemp("services")
    try:
        yield without_fsync(embedded.start(folder))
    finally:
        embedded.remove(folder)


def without_fsync(services: embedded.Services) -> embedded.Services:
    """No test of these services switches the machine off: what a killed server had written is
    there, and thousands of commits and databases need not wait for the disk."""
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
    return services


@pytest.fixture(scope="module")
def database(services: embedded.Services) -> Iterator[str]:
    """The URL of an empty database of this module's own."""
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        new_database(admin, "test") as name,
    ):
        yield server_of(services.database_url) + name


@pytest.fixture(scope="module")
def kafka_topics(services: embedded.Services) -> str:
    """The bootstrap servers of a Kafka whose input topics are new and empty."""
    asyncio.run(fresh_topics(services.kafka_bootstrap))
    return services.kafka_bootstrap


async def fresh_topics(bootstrap: str) -> None:
    """Delete the input topics and create them anew."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = list(await topic_partitions(bootstrap))
        if found:
            await admin.delete_topics(found)
    finally:
        await admin.close()
    deadline = time.monotonic() + TOPICS_GONE_SECONDS
    while await topic_partitions(bootstrap):
        assert time.monotonic() < deadline, "Kafka did not delete the topics"
        await asyncio.sleep(0.02)
    await ensure_topics(bootstrap, PARTITIONS)
