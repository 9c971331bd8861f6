"""Raw messages for the figures' tests, and the same in DuckDB, which has to find the same figures.

Real baskets of 60 households: thirty as they are; twenty who also give back and spend points; ten
who shop without a card. Nothing of the ledger is used: what the first thirty earn and lose is SQL
over the messages, for the next twenty the demo's reference model says it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as arrow
import yaml

from demo import grocer
from demo.reference import ReferenceProgram

Event = dict[str, Any]

PLAIN = frozenset(range(1, 31))
CHANGED = frozenset(range(31, 51))
NOBODY = frozenset(range(51, 61))

SINCE = datetime(2017, 1, 1, tzinfo=UTC)
UNTIL = datetime(2018, 3, 1, tzinfo=UTC)
"""Beyond the last basket, within the time that some points take to expire."""

RETURNED_EVERY, WHOLE_EVERY, PAID_EVERY = 17, 51, 23
"""Of the twenty's baskets: which give back a line, which all, and which points pay for."""

PROGRAM = (
    (Path(__file__).parents[2] / "demo" / "program.yaml")
    .read_text(encoding="utf-8")
    .replace("time_zone: UTC", "time_zone: Europe/Moscow")
    .replace("point_value: 1 ", "point_value: 3 ")
    .replace("segments:\n", "segments:\n  - {id: frequent, when: {frequency: {at_least: 20}}}\n")
)
"""The demo's, with local days that are not those of UTC."""

FIRST_BACK = frozenset({32, 40, 48})
"""Members, each brought in by another, who give back their first basket."""

_RANK = {"referral": 0, "survey": 1, "command": 2, "purchase": 3}


def events() -> list[Event]:
    """All inputs by time; at one instant points are spent before the purchase that they pay for."""
    found = [*grocer.referrals(set(PLAIN | CHANGED)), *grocer.surveys(set(PLAIN | CHANGED))]
    of_changed = 0
    bought: set[int] = set()
    for event in grocer.purchases(set(PLAIN | CHANGED | NOBODY)):
        member = int(event["subject"])
        if member in NOBODY:
            del event["subject"]
        found.append(event)
        if member in CHANGED:
            of_changed += 1
            first = member not in bought
            bought.add(member)
            found.extend(_more(event, of_changed, whole=first and member in FIRST_BACK))
    return sorted(found, key=lambda event: (event["time"], _RANK[event["type"].split(".")[0]]))


def _more(bought: Event, n: int, *, whole: bool) -> Iterator[Event]:
    order = bought["data"]["order_id"]
    if n % PAID_EVERY == 0:
        data = {"redemption_id": f"paid-{order}", "points": 100, "order_id": order}
        kind = "command.redeem.v1"
        bought["data"]["redemption_id"] = f"paid-{order}"
        yield bought | {"id": f"paid-{order}", "type": kind, "data": data}
    if whole or n % RETURNED_EVERY == 0:
        at = datetime.fromisoformat(bought["time"]) + timedelta(days=3)
        data = {"order_id": order, "return_id": f"back-{order}"}
        if n % WHOLE_EVERY and not whole:
            line = bought["data"]["lines"][0]
            data["lines"] = [{"line_id": line["line_id"], "amount": line["amount"]}]
        kind, time = "purchase.returned.v1", f"{at:%Y-%m-%dT%H:%M:%SZ}"
        yield bought | {"id": f"back-{order}", "type": kind, "time": time, "data": data}


def in_duckdb(found: list[Event], folder: Path) -> duckdb.DuckDBPyConnection:
    """The messages as tables; local moments are timestamps without a zone."""
    file = folder / "messages.ndjson"
    file.write_bytes(b"\n".join(orjson.dumps(event) for event in found))
    raw = duckdb.connect(config={"threads": 1})
    raw.execute(
        "CREATE TABLE messages AS SELECT type, subject, data,"
        " replace(time, 'Z', '')::TIMESTAMP + INTERVAL 3 HOUR AS moment"
        " FROM read_json($1, format='newline_delimited', columns={type: 'VARCHAR',"
        " subject: 'VARCHAR', time: 'VARCHAR', data: 'JSON'})",
        [str(file)],
    )
    raw.execute(_TABLES)
    raw.execute(_AWARDS)
    _of_changed(raw, found)
    return raw


_TABLES = """
CREATE TABLE lines AS
SELECT data ->> 'order_id' AS order_id, line ->> 'line_id' AS line_id, line ->> 'category' AS kind,
    (line ->> 'quantity')::BIGINT AS quantity, (line ->> 'amount')::BIGINT AS amount
FROM (SELECT data, unnest(from_json(data -> 'lines', '["JSON"]')) AS line FROM messages
      WHERE type = 'purchase.completed.v1');
CREATE TABLE baskets AS
SELECT order_id::BIGINT AS order_id, any_value(subject) AS member,
    any_value(data ->> 'store_id') AS store, any_value(moment) AS moment,
    sum(l.amount)::BIGINT AS amount, sum(quantity)::BIGINT AS items,
    coalesce(sum(l.amount) FILTER (WHERE kind IN ('PRODUCE', 'SALAD BAR')), 0)::BIGINT AS fresh
FROM messages m JOIN lines l ON l.order_id = data ->> 'order_id'
WHERE type = 'purchase.completed.v1' GROUP BY l.order_id;
CREATE TABLE backs AS
SELECT (data ->> 'order_id')::BIGINT AS order_id, subject AS member, moment,
    CASE WHEN (data -> 'lines') IS NULL
         THEN (SELECT b.amount FROM baskets b WHERE b.order_id = (data ->> 'order_id')::BIGINT)
         ELSE ((data -> 'lines' -> 0) ->> 'amount')::BIGINT END AS amount
FROM messages WHERE type = 'purchase.returned.v1';
"""

_AWARDS = """
CREATE TABLE awards AS
WITH of_year AS (
    SELECT *, sum(amount) OVER (PARTITION BY member, year(moment) ORDER BY moment, order_id
                                ROWS UNBOUNDED PRECEDING) - amount AS spent
    FROM baskets WHERE member::INT <= 30
), judged AS (
    SELECT o.*, amount // 100 AS base,
        greatest(spent, coalesce((SELECT sum(b.amount) FROM baskets b
            WHERE b.member = o.member AND year(b.moment) = year(o.moment) - 1), 0)) AS counted,
        amount >= 5000 AND moment >= '2017-06-01 03:00' AND moment < '2017-09-01 03:00' AS summer,
        row_number() OVER (PARTITION BY member ORDER BY moment, order_id) AS nth
    FROM of_year o
), weekly AS (
    SELECT *, row_number() OVER (PARTITION BY member, summer, date_trunc('week', moment)
                                 ORDER BY moment, order_id) AS of_week
    FROM judged
), referred AS (
    SELECT j.*, m.data ->> 'referrer_id' AS referrer FROM judged j
    JOIN messages m ON m.type = 'referral.registered.v1' AND m.subject = j.member
    WHERE nth = 1 AND amount >= 2000 AND j.moment <= m.moment + INTERVAL 60 DAY
)
SELECT rule, member, order_id, store, moment, points::BIGINT AS points,
    (moment + delay) + CASE rule WHEN 'big-basket' THEN INTERVAL 3 MONTH ELSE INTERVAL 6 MONTH END
        AS expires_at
FROM (
    SELECT 'base' AS rule, member, order_id, store, moment, base AS points, INTERVAL 7 DAY AS delay
        FROM weekly
    UNION ALL SELECT 'fresh-produce', member, order_id, store, moment, fresh // 100, INTERVAL 7 DAY
        FROM weekly
    UNION ALL SELECT 'silver-bonus', member, order_id, store, moment, base * 12 // 10 - base,
        INTERVAL 7 DAY FROM weekly WHERE counted >= 100000 AND counted < 250000
    UNION ALL SELECT 'gold-bonus', member, order_id, store, moment, base * 15 // 10 - base,
        INTERVAL 7 DAY FROM weekly WHERE counted >= 250000
    UNION ALL SELECT 'summer-basket', member, order_id, store, moment, 50, INTERVAL 7 DAY
        FROM weekly WHERE summer AND of_week = 1
    UNION ALL SELECT 'big-basket', member, order_id, store, moment, 25, INTERVAL 7 DAY
        FROM weekly WHERE items >= 40 AND amount >= 10000
    UNION ALL SELECT 'referral', member, order_id, store, moment, 50, INTERVAL 7 DAY
        FROM referred
    UNION ALL SELECT 'referral', referrer, order_id, store, moment, 100, INTERVAL 7 DAY
        FROM referred
    UNION ALL SELECT 'household-profile', subject, NULL, NULL, moment, 200, INTERVAL 0 DAY
        FROM messages WHERE type = 'survey.completed.v1' AND subject::INT <= 30
) WHERE points > 0;
CREATE TABLE moved AS
SELECT member, moment, 'granted' AS flow, points FROM awards
UNION ALL SELECT member, expires_at, 'expired', points FROM awards;
CREATE TABLE taken (rule VARCHAR, points BIGINT);
"""


def _of_changed(raw: duckdb.DuckDBPyConnection, found: list[Event]) -> None:
    """What the reference model says of the twenty, added to `awards`, `taken` and `moved`."""
    model = ReferenceProgram(yaml.safe_load(PROGRAM))
    for event in found:
        if "subject" in event and int(event["subject"]) in CHANGED:
            model.apply(event)
    accounts = {"issued": "granted", "redeemed": "redeemed", "expired": "expired"}
    accounts["revoked"] = "revoked"
    moved: list[tuple[Any, ...]] = []
    awards: list[tuple[Any, ...]] = []
    taken: list[tuple[Any, ...]] = []
    for member in model.members.values():
        model.settle(member, UNTIL)
        for moment, moves in member.wallet.entries:
            at = (moment + timedelta(hours=3)).replace(tzinfo=None)
            for account, flow in accounts.items():
                if points := moves.get(account):
                    moved.append((member.id, at, flow, -points if flow == "granted" else points))
        for order in member.orders.values():
            at = (order.purchase.occurred_at + timedelta(hours=3)).replace(tzinfo=None)
            for granted in order.awards:
                awards.append((granted.award.rule.id, member.id, at, granted.award.points,
                               int(order.purchase.order_id)))  # fmt: skip
                taken.append((granted.award.rule.id, sum(granted.taken)))
            for reward in order.rewards:
                awards.append(("referral", reward.who.id, at, reward.points,
                               int(order.purchase.order_id)))  # fmt: skip
                taken.append(("referral", reward.taken))
        surveyed = datetime.fromisoformat("2017-02-01T15:00:00")
        awards.extend((survey, member.id, surveyed, 200, None) for survey in member.surveys)
    _insert(raw, "moved (member, moment, flow, points)", moved)
    _insert(raw, "awards (rule, member, moment, points, order_id)", awards)
    _insert(raw, "taken (rule, points)", taken)


def _insert(raw: duckdb.DuckDBPyConnection, into: str, rows: list[tuple[Any, ...]]) -> None:
    """By column: row by row it takes a hundred times as long."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    raw.register("new_rows", arrow.table(columns, names=[f"c{n}" for n in range(len(columns))]))
    raw.execute(f"INSERT INTO {into} SELECT * FROM new_rows")
    raw.unregister("new_rows")
