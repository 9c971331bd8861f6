"""A worker in service, on real Kafka and PostgreSQL: every input, effects, a graceful stop."""

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.services import PARTITIONS
from tests.streams.workers import (
    Stage,
    activity,
    enrolment,
    make_stage,
    purchase,
    referral,
    running,
    send,
    survey,
    until,
)

MEMBERS = 60


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    return make_stage(database, kafka_topics)


def test_all_kinds_of_input_are_taken_and_the_stop_is_graceful(
    stage: Stage, tmp_path: Path
) -> None:
    members = [f"m{n}" for n in range(MEMBERS)]
    events = [enrolment(member) for member in members]
    events += [referral(f"m{n}", f"m{n - 1}") for n in range(1, MEMBERS, 2)]
    events += [survey(member, f"s-{member}") for member in members]
    events += [activity(member, "review", "book") for member in members]
    events += [activity(member, "unheard-of", "x") for member in members[:3]]
    events += [purchase(m, f"o-{m}-{n}") for n in range(4) for m in members]
    events += [purchase(m, f"o-{m}-4", redemption_id="lost") for m in members]
    published = send(stage.bootstrap, events)
    rewards = MEMBERS // 2
    with running(stage, tmp_path / "log") as worker:
        until(lambda: stage.handled() == published + rewards, "everything handled")
        assert stage.outcomes() == {
            ("members", "applied"): MEMBERS,
            ("referrals", "applied"): rewards,
            ("surveys", "applied"): MEMBERS,
            ("activities", "applied"): MEMBERS,
            ("activities", "refused"): 3,
            ("purchases", "applied"): MEMBERS * 5,
            ("effects", "applied"): rewards,
        }
        until(worker.ready, "ready")
        assert worker.get("/livez")[0] == 200
        for name, count in {
            "points_inputs_total": published + rewards,
            "points_refusals_total": 3,
            "points_unknown_redemptions_total": MEMBERS,
            "points_partitions_assigned": PARTITIONS,
            "points_misrouted_total": 0,
            "points_effects_published_total": rewards,
        }.items():
            worker.counts(name, count)
        assert worker.metric("points_cache_lookups_total") > 0
        until(lambda: worker.metric("points_lag_records") == 0, "no lag")
        # All of 2023 is past: what fell due is settled by the scheduler, without any input.
        until(
            lambda: not stage.ask("SELECT 1 FROM ledger.due WHERE due_at < now() - '2h'::interval"),
            "due accounts settled",
        )
        until(lambda: worker.metric("points_ticks_total") >= MEMBERS, "the ticks are counted")
        assert worker.terminate() == 0, worker.errors()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    ours = [line for line in lines if line["logger"].startswith("streams.")]
    assert ours[-1]["event"] == "stopped"
    assert not [line for line in ours if line["level"] == "error"]
    assert asyncio.run(_group_state(stage)) == (0, 0)


async def _group_state(stage: Stage) -> tuple[int, int]:
    """Members left in the group, and the lag that Kafka's own tools would show."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
    await admin.start()
    reader = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap)
    await reader.start()
    try:
        (described,) = await admin.describe_consumer_groups(["points-ledger"])
        members = (
            described.groups[0][-2] if len(described.groups[0]) > 6 else described.groups[0][5]
        )
        offsets = await admin.list_consumer_group_offsets("points-ledger")
        purchases = [TopicPartition("purchases", n) for n in range(PARTITIONS)]
        ends = await reader.end_offsets(purchases)
        return len(members), sum(ends[tp] - offsets[tp].offset for tp in purchases)
    finally:
        await reader.stop()
        await admin.close()


def test_effects_that_an_earlier_worker_left_are_published_and_deduped(
    stage: Stage, tmp_path: Path
) -> None:
    before = stage.outcomes()
    stage.change("DELETE FROM ledger.effects_cursors")
    with running(stage, tmp_path / "log"):
        until(
            lambda: stage.outcomes().get(("effects", "duplicate")) == MEMBERS // 2,
            "effects published again",
        )
    assert stage.outcomes() == {**before, ("effects", "duplicate"): MEMBERS // 2}


def test_a_purchase_published_twice_counts_once(stage: Stage, tmp_path: Path) -> None:
    before = stage.outcomes()
    again = [purchase("m1", "o-m1-0"), purchase("m1", "o-m1-1"), survey("m2", "s-m2")]
    send(stage.bootstrap, again)
    with running(stage, tmp_path / "log", "--until-idle", "0.5") as worker:
        assert worker.wait() == 0, worker.errors()
    assert stage.outcomes() == {
        **before,
        ("purchases", "duplicate"): 2,
        ("surveys", "duplicate"): 1,
    }
