-- A notebook over the files of `points export --out DIR`, for DuckDB. Run it in DIR, cell by cell.

SET TimeZone = 'UTC';

-- # Views over the files
CREATE OR REPLACE VIEW log AS
    SELECT * FROM read_parquet('log/*/*.parquet', hive_partitioning = true);
CREATE OR REPLACE VIEW postings AS
    SELECT * FROM read_parquet('postings/*/*.parquet', hive_partitioning = true);
CREATE OR REPLACE VIEW purchases AS
    SELECT * FROM read_parquet('purchases/*/*.parquet', hive_partitioning = true);
CREATE OR REPLACE VIEW balances AS
    SELECT * FROM read_parquet('balances/*/*.parquet', hive_partitioning = true)
    QUALIFY day = max(day) OVER ();

-- # What is in the log
SELECT type, count(*) AS events, min(occurred_at) AS first_at, max(occurred_at) AS last_at
FROM log GROUP BY type ORDER BY events DESC, type;

-- # Every event's postings sum to zero: no row is right
SELECT shard, position, sum(points) AS points
FROM postings GROUP BY shard, position HAVING sum(points) <> 0;

-- # What each account of the ledger holds by now
SELECT account, sum(points)::BIGINT AS points
FROM postings WHERE effective_at <= now() GROUP BY account ORDER BY account;

-- # Points by rule, from the events themselves
SELECT award ->> 'rule' AS rule, count(*) AS awards, sum((award ->> 'points')::BIGINT)::BIGINT AS points
FROM (SELECT unnest(from_json(payload -> 'awards', '["JSON"]')) AS award
      FROM log WHERE (payload -> 'awards') IS NOT NULL)
GROUP BY rule ORDER BY points DESC, rule;

-- # Turnover and buyers by month
SELECT date_trunc('month', occurred_at)::DATE AS month, sum(amount)::BIGINT AS amount,
       count(DISTINCT member_id) FILTER (WHERE kind = 'purchase') AS members
FROM purchases GROUP BY month ORDER BY month;

-- # The ten members with the most points
SELECT member_id, available, pending, tier FROM balances ORDER BY available DESC, member_id LIMIT 10;
