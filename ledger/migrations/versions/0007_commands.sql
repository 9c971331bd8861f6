-- Outcomes of commands that are to be told, stock of catalogue rewards, voucher codes.

-- How each record of the topic `commands` ended: written by the append that decided it, deleted
-- once Kafka has told it. shard: whose worker tells it; n: in the order of a shard's commits.
CREATE TABLE ledger.command_outcomes (
    shard    integer NOT NULL,
    n        bigint GENERATED ALWAYS AS IDENTITY,
    key      bytea,
    outcome  bytea NOT NULL,
    of_shard integer,
    position bigint,
    PRIMARY KEY (shard, n)
);
GRANT SELECT, INSERT, DELETE ON ledger.command_outcomes TO points_app;

-- Per catalogue reward that is counted: how many voucher codes were loaded, how many units given.
-- Locked after the heads, by id.
CREATE TABLE ledger.reward_stock (
    reward_id text PRIMARY KEY,
    loaded    bigint NOT NULL DEFAULT 0,
    given     bigint NOT NULL DEFAULT 0
);
GRANT SELECT, INSERT, UPDATE ON ledger.reward_stock TO points_app;

-- The codes of a voucher reward, numbered from 1; the log names a code by its number. shard and
-- position: of the claim that got it.
CREATE TABLE ledger.voucher_codes (
    reward_id text NOT NULL,
    number    bigint NOT NULL,
    code      text NOT NULL,
    shard     integer,
    position  bigint,
    PRIMARY KEY (reward_id, number),
    UNIQUE (reward_id, code)
);
CREATE INDEX voucher_codes_claim ON ledger.voucher_codes (shard, position)
    WHERE position IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON ledger.voucher_codes TO points_app;
