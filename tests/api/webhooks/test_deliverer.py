"""What subscribers are told of a log that grows: in order, signed, again until it is taken."""

import asyncio
import threading
import time
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks import Webhook

from api.webhooks import deliveries, making, outbox, schedule, subscriptions
from api.webhooks.deliverer import Deliverer
from api.webhooks.errors import WebhookRefused
from api.webhooks.sending import Sender
from api.webhooks.subscriptions import Wanted
from projections.runner import Runner
from tests.api.webhooks.conftest import Add, delivering
from tests.api.webhooks.receiver import WAIT_SECONDS, Answer, Received, Receiver
from tests.projections.conftest import Shop
from tests.projections.log_writer import confirm, day, erase, purchase, reserve, survey

QUICK = (0.05, 0.1, 0.2, 0.4, 0.8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries within seconds."""
    monkeypatch.setattr(schedule, "RETRY_SECONDS", QUICK)


def rows(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    """What the database says."""
    return shop.session.execute(query.encode()).fetchall()


@pytest.fixture
def again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries within seconds, and so many that nothing is given up while a test waits."""
    monkeypatch.setattr(schedule, "RETRY_SECONDS", (QUICK[0],) * round(WAIT_SECONDS / QUICK[0]))


def until(shop: Shop, query: str, wanted: object) -> None:
    """Wait for the database to say so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := rows(shop, query)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_receiver_that_asks_for_a_pause_gets_it(
    shop: Shop, add: Add, receiver: Receiver, quick: None
) -> None:
    add()
    asked = 3
    begun = threading.Event()
    moments: list[float] = []

    def decide(_: Received) -> Answer:
        moments.append(time.monotonic())
        if begun.is_set():
            return Answer()
        begun.set()
        return Answer(429, b"", (("Retry-After", str(asked)),))

    receiver.decide = decide
    with delivering(shop.url):
        shop.log.take("m1", survey("m1", day(2)))
        receiver.wait(lambda taken: len(taken) == 1)
        until(shop, "SELECT count(*) FROM api.deliveries WHERE attempts > 0", [(1,)])
        shop.log.take("m2", survey("m2", day(2)))  # would go at once
        taken = receiver.wait_for(2)
    assert min(moments[1:]) - moments[0] >= asked
    assert {one.member for one in taken} == {"m1", "m2"}


DONE = "SELECT count(*) FROM api.deliveries WHERE status = 'done'"


def test_what_happens_from_now_on_is_told_signed_and_with_balances(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    shop.log.take("m1", purchase("before", day(1), (9_900,)))
    Runner(shop.url).run(until_caught_up=True)
    made = add()
    with delivering(shop.url):
        shop.log.take("m1", survey("m1", day(2)))  # 200 points at once
        shop.log.take("m1", reserve("r1", day(3), 50))
        shop.log.take("m1", confirm("r1", day(3)))
        shop.log.take("m2", purchase("o2", day(3), (1_000,)))
        taken = receiver.wait_for(6)
    for one in taken:
        Webhook(made.secret).verify(one.body, one.headers)
    of_m1 = [one.document for one in taken if one.member == "m1"]
    assert [document["type"] for document in of_m1] == [
        "points.earned",
        "reservation.made",
        "reservation.confirmed",
        "points.spent",
    ]
    earned, held, _, spent = of_m1
    assert earned["timestamp"] == "2017-01-03T00:00:00Z"
    data = earned["data"]
    assert data["points"] == 200
    assert data["awards"] == [{"rule": "household", "kind": "survey", "points": 200}]
    pending = 99 + 50
    assert data["balance"] == {"available": 200, "pending": pending, "reserved": 0}
    assert held["data"]["balance"] == {"available": 150, "pending": pending, "reserved": 50}
    assert spent["data"]["balance"] == {"available": 150, "pending": pending, "reserved": 0}
    assert spent["data"]["points"] == 50
    assert spent["data"]["reservation_id"] == "r1"
    (of_m2,) = [o for o in taken if o.member == "m2" and o.document["type"] == "points.earned"]
    assert of_m2.document["data"]["balance"] == {"available": 0, "pending": 10, "reserved": 0}
    shard, position, _ = of_m2.place
    assert (of_m2.document["data"]["shard"], of_m2.document["data"]["position"]) == (
        shard,
        position,
    )


def test_only_what_was_asked_for(shop: Shop, add: Add, receiver: Receiver) -> None:
    add("reservation.*", "member.erased")
    with delivering(shop.url):
        shop.log.take("m1", survey("m1", day(2)))
        shop.log.take("m1", reserve("r1", day(3), 50))
        shop.log.take("m1", confirm("r1", day(3)))
        shop.log.take("m1", erase(day(4)))
        taken = receiver.wait_for(3)
        until(shop, DONE, [(3,)])
    assert [one.document["type"] for one in taken] == [
        "reservation.made",
        "reservation.confirmed",
        "member.erased",
    ]


@pytest.mark.usefixtures("again_and_again")
def test_one_that_is_not_taken_holds_back_its_own_member_only(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    ill = threading.Event()
    ill.set()
    receiver.decide = lambda one: Answer(500 if one.member == "ill" and ill.is_set() else 200)
    add("points.earned")
    with delivering(shop.url):
        for number in range(4):
            for member in ("ill", "well", "fine"):
                order = purchase(f"{member}-{number}", day(number), (1_000,))
                shop.log.take(member, order)
        receiver.wait(lambda taken: len([o for o in taken if o.member != "ill"]) >= 8)
        receiver.wait(lambda taken: len([o for o in taken if o.member == "ill"]) >= 3)
        assert len({one.id for one in receiver.taken if one.member == "ill"}) == 1
        ill.clear()
        taken = receiver.wait_for(12)
        until(shop, DONE, [(12,)])
    for member in ("ill", "well", "fine"):
        firsts = list(dict.fromkeys(one.id for one in taken if one.member == member))
        places = [next(o.place for o in taken if o.id == id_) for id_ in firsts]
        assert places == sorted(places)
        assert len(places) == 4
    webhook = subscriptions.every(shop.session)[0]
    assert (webhook.status, webhook.waiting, webhook.behind) == ("active", 0, 0)
    assert webhook.failing_since is None


@pytest.mark.usefixtures("quick")
def test_what_is_never_taken_is_given_up_and_lets_the_next_go(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    receiver.decide = lambda one: (
        Answer(500, b"out of order") if one.document["data"].get("order_id") == "o1" else Answer()
    )
    webhook = add("points.earned").webhook
    with delivering(shop.url):
        shop.log.take("m1", purchase("o1", day(1), (1_000,)))
        shop.log.take("m1", purchase("o2", day(2), (1_000,)))
        receiver.wait_for(2)
        until(shop, DONE, [(1,)])
        attempts = len(QUICK) + 1
        (failed,) = deliveries.page(shop.session, webhook.id, status="failed", limit=10).items
        assert failed.attempts == attempts
        assert (failed.answer_status, failed.answer) == (500, "out of order")
        assert failed.error == "http_status"
        assert [one.id for one in receiver.taken].count(failed.id) == attempts

        receiver.decide = lambda _: Answer()
        again = deliveries.repeat(shop.session, failed.id)
        assert (again.id, again.status) == (failed.id, "waiting")
        until(shop, DONE, [(2,)])
    assert [one.id for one in receiver.taken].count(failed.id) == attempts + 1
    assert subscriptions.one(shop.session, webhook.id).waiting == 0


def test_an_endpoint_that_is_gone_is_paused_at_once_and_goes_on_where_it_stopped(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    receiver.decide = lambda _: Answer(410)
    webhook = add("points.earned").webhook
    with delivering(shop.url) as deliverer:
        shop.log.take("m1", purchase("o1", day(1), (1_000,)))
        until(shop, "SELECT status, paused_because FROM api.subscriptions", [("paused", "gone")])
        shop.log.take("m1", purchase("o2", day(2), (1_000,)))
        shop.log.take("m2", purchase("o3", day(2), (1_000,)))
        receiver.decide = lambda _: Answer()
        found = subscriptions.one(shop.session, webhook.id)
        assert (found.status, found.paused_because, found.waiting) == ("paused", "gone", 1)
        assert found.behind >= 2
        assert len(receiver.taken) == 1
        (pauses,) = [
            sample.value
            for family in text_string_to_metric_families(deliverer.metrics.text().decode())
            for sample in family.samples
            if sample.name == "points_webhook_pauses_total" and sample.labels["because"] == "gone"
        ]
        assert pauses == 1
        with pytest.raises(WebhookRefused) as refused:
            deliveries.test(shop.session, webhook.id)
        assert refused.value.code == "webhook_paused"
        assert subscriptions.resume(shop.session, webhook.id).status == "active"
        taken = receiver.wait_for(3)
    assert [one.document["data"]["order_id"] for one in taken if one.member == "m1"] == [
        "o1",
        "o1",
        "o2",
    ]


@pytest.mark.usefixtures("quick")
def test_a_dead_endpoint_is_paused_before_anything_is_given_up(
    shop: Shop, add: Add, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "DEAD_SECONDS", 0.5)
    monkeypatch.setattr(schedule, "RETRY_SECONDS", (*QUICK, 30))
    receiver.decide = lambda _: Answer(503)
    add("points.earned")
    with delivering(shop.url):
        shop.log.take("m1", purchase("o1", day(1), (1_000,)))
        until(shop, "SELECT status, paused_because FROM api.subscriptions", [("paused", "dead")])
    assert rows(shop, "SELECT status FROM api.deliveries") == [("waiting",)]


def test_pausing_by_hand_a_secret_exchanged_and_a_test(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    made = add("points.earned")
    id_ = made.webhook.id
    with delivering(shop.url):
        assert subscriptions.pause(shop.session, id_).paused_because == "by hand"
        shop.log.take("m1", purchase("o1", day(1), (1_000,)))
        other = subscriptions.rotate(shop.session, id_)
        assert other.secret != made.secret
        assert other.webhook.former_secret_until is not None
        subscriptions.resume(shop.session, id_)
        (one,) = receiver.wait_for(1)
        for secret in (made.secret, other.secret):
            Webhook(secret).verify(one.body, one.headers)
        third = subscriptions.rotate(shop.session, id_)
        asked = deliveries.test(shop.session, id_)
        test = receiver.wait_for(2)[-1]
        assert (test.id, test.document["type"]) == (asked.id, "webhook.test")
        for secret in (other.secret, third.secret):
            Webhook(secret).verify(test.body, test.headers)
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(made.secret).verify(test.body, test.headers)


def test_one_that_was_removed_is_told_nothing_and_leaves_nothing(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    id_ = add("points.earned").webhook.id
    with delivering(shop.url):
        shop.log.take("m1", purchase("o1", day(1), (1_000,)))
        receiver.wait_for(1)
        until(shop, DONE, [(1,)])
    subscriptions.remove(shop.session, id_)
    assert subscriptions.every(shop.session) == []
    with pytest.raises(WebhookRefused):
        subscriptions.resume(shop.session, id_)
    with delivering(shop.url):
        until(shop, "SELECT count(*) FROM api.subscriptions", [(0,)])
    assert rows(shop, "SELECT count(*) FROM api.deliveries") == [(0,)]
    assert rows(shop, "SELECT count(*) FROM api.subscription_positions") == [(0,)]


def test_a_changed_url_and_types_count_from_then_on(
    shop: Shop, add: Add, receiver: Receiver
) -> None:
    id_ = add("points.earned", url="http://127.0.0.1:9/nobody").webhook.id
    shop.log.take("m1", purchase("o1", day(1), (1_000,)))
    making.make(shop.session)
    wanted = Wanted(receiver.url + "/new", ["purchase.rewarded"], "ours")
    changed = subscriptions.change(shop.session, id_, wanted, allow_private=True)
    assert changed.description == "ours"
    shop.log.take("m1", purchase("o2", day(2), (1_000,)))
    with delivering(shop.url):
        taken = receiver.wait_for(2)
    assert [one.document["type"] for one in taken] == ["points.earned", "purchase.rewarded"]
    assert {one.path for one in taken} == {"/hook/new"}


def test_a_delivery_that_waits_behind_another_cannot_be_repeated(shop: Shop, add: Add) -> None:
    webhook = add("points.earned").webhook
    shop.log.take("m1", purchase("o1", day(1), (1_000,)))
    shop.log.take("m1", purchase("o2", day(2), (1_000,)))
    assert making.make(shop.session).deliveries == 2
    second, first = deliveries.page(shop.session, webhook.id, limit=10).items
    assert second.due_at is None
    with pytest.raises(WebhookRefused) as refused:
        deliveries.repeat(shop.session, second.id)
    assert refused.value.code == "delivery_held_back"
    assert deliveries.repeat(shop.session, first.id).due_at is not None
    assert subscriptions.one(shop.session, webhook.id).waiting == 2


def test_old_deliveries_are_deleted_and_others_are_not(shop: Shop, add: Add) -> None:
    add("points.earned")
    for number in range(6):
        shop.log.take(f"m{number}", purchase(f"o{number}", day(1), (1_000,)))
    making.make(shop.session)
    for member, status, days in (
        ("m0", "done", schedule.DONE_KEEP_DAYS + 1),
        ("m1", "done", schedule.DONE_KEEP_DAYS - 1),
        ("m2", "failed", schedule.FAILED_KEEP_DAYS + 1),
        ("m3", "failed", schedule.FAILED_KEEP_DAYS - 1),
    ):
        shop.session.execute(
            "UPDATE api.deliveries SET status = %s, due_at = NULL,"
            " ended_at = now() - make_interval(days => %s) WHERE member_id = %s",
            [status, days, member],
        )
    assert outbox.purge(shop.session) == 2
    left = rows(shop, "SELECT member_id FROM api.deliveries ORDER BY member_id")
    assert [row[0] for row in left] == ["m1", "m3", "m4", "m5"]


def test_too_many_that_wait_stop_the_reading_and_lose_nothing(
    shop: Shop, add: Add, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "WAITING_MAX", 5)
    monkeypatch.setattr(making, "EVENTS_MAX", 2)
    webhook = add("points.earned").webhook
    for number in range(60):
        shop.log.take(f"m{number % 7}", purchase(f"o{number}", day(1), (1_000,)))
    while making.make(shop.session).events:
        pass
    found = subscriptions.one(shop.session, webhook.id)
    assert 5 <= found.waiting <= 5 + 4 * 2  # a round of all shards more
    assert found.behind > 40
    with delivering(shop.url):
        taken = receiver.wait_for(60)
    assert len({one.id for one in taken}) == 60


def test_one_that_is_far_behind_does_not_hold_up_another(
    shop: Shop, add: Add, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "EVENTS_MAX", 1)
    far = add("points.earned").webhook.id
    for number in range(50):
        shop.log.take("m1", purchase(f"o{number}", day(1), (1_000,)))
    near = add("points.earned").webhook.id
    shop.log.take("m1", purchase("new", day(2), (1_000,)))
    making.make(shop.session)
    assert subscriptions.one(shop.session, near).behind == 0
    assert subscriptions.one(shop.session, far).behind > 40


def test_a_second_deliverer_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.webhooks.deliverer.LOCK_SECONDS", 0.3)
    with psycopg.connect(shop.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(x'484f4f4b'::int)")
        with pytest.raises(WebhookRefused) as refused:
            asyncio.run(Deliverer(shop.url, Sender(allow_private=True)).run())
        assert refused.value.code == "deliverer_running"


def test_it_goes_on_after_the_database_went_away(
    shop: Shop, add: Add, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.webhooks.deliverer.PAUSE_SECONDS", 0.1)
    add("points.earned")
    with delivering(shop.url) as deliverer:
        shop.log.take("m1", purchase("o1", day(1), (1_000,)))
        receiver.wait_for(1)
        with psycopg.connect(shop.url, autocommit=True) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND objid = x'484f4f4b'::int"
            )
        shop.log.take("m1", purchase("o2", day(2), (1_000,)))
        receiver.wait_for(2)
        until(shop, DONE, [(2,)])
        deadline = time.monotonic() + WAIT_SECONDS
        while not deliverer.metrics.interruptions._value.get():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_pauses_grow_to_days() -> None:
    assert list(schedule.RETRY_SECONDS) == sorted(schedule.RETRY_SECONDS)
    assert 2.9 * 86_400 < sum(schedule.RETRY_SECONDS) < 3 * 86_400
    for failed, seconds in enumerate(schedule.RETRY_SECONDS, 1):
        found = [schedule.pause_after(failed) or 0.0 for _ in range(50)]
        assert len(set(found)) > 1
        assert all(0.79 * seconds < pause < 1.21 * seconds for pause in found)
    assert schedule.pause_after(len(schedule.RETRY_SECONDS) + 1) is None
    # A dead endpoint is paused while its first delivery has attempts left.
    assert sum(schedule.RETRY_SECONDS[:-1]) * (1 - schedule.JITTER) > schedule.DEAD_SECONDS
