-- Webhooks: who is told of what, how far each has followed the log, and every single delivery.
CREATE SCHEMA IF NOT EXISTS api;
REVOKE ALL ON SCHEMA api FROM PUBLIC;
GRANT USAGE ON SCHEMA api TO points_app;

CREATE TABLE api.subscriptions (
    id             text PRIMARY KEY,
    url            text NOT NULL,
    types          text[] NOT NULL,
    description    text NOT NULL,
    secret         bytea NOT NULL CHECK (octet_length(secret) BETWEEN 24 AND 64),
    former_secret  bytea,
    former_until   timestamptz,
    status         text NOT NULL DEFAULT 'active'
                   CHECK (status IN ('active', 'paused', 'deleted')),
    paused_because text,
    paused_at      timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text NOT NULL,
    waiting        integer NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    failures       integer NOT NULL DEFAULT 0,
    failing_since  timestamptz,
    succeeded_at   timestamptz
) WITH (fillfactor = 50);  -- each delivery rewrites its row: room for new versions in the same page

CREATE TABLE api.subscription_positions (
    subscription_id text NOT NULL REFERENCES api.subscriptions ON DELETE CASCADE,
    shard           integer NOT NULL,
    position        bigint NOT NULL CHECK (position >= 0),
    PRIMARY KEY (subscription_id, shard)
) WITH (fillfactor = 50);

-- number: the order in which they were made, which is the log's order within a member. due_at: when
-- a waiting one may be sent; NULL: held back behind an earlier one of the same member.
CREATE TABLE api.deliveries (
    id              text PRIMARY KEY,
    number          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    subscription_id text NOT NULL REFERENCES api.subscriptions,
    member_id       text,
    type            text NOT NULL,
    shard           integer,
    position        bigint,
    body            bytea NOT NULL,
    status          text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'done', 'failed')),
    due_at          timestamptz,
    retries         integer NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempted_at    timestamptz,
    ended_at        timestamptz,
    answer_status   integer,
    answer          text,
    error           text,
    milliseconds    integer
) WITH (fillfactor = 80);
CREATE INDEX deliveries_due ON api.deliveries (subscription_id, due_at, number)
    WHERE status = 'waiting' AND due_at IS NOT NULL;
CREATE INDEX deliveries_of_member ON api.deliveries (subscription_id, member_id, number)
    WHERE status = 'waiting';
CREATE INDEX deliveries_of_subscription ON api.deliveries (subscription_id, number);
CREATE INDEX deliveries_not_done ON api.deliveries (subscription_id, number)
    WHERE status <> 'done';
CREATE INDEX deliveries_ended ON api.deliveries (status, ended_at) WHERE status <> 'waiting';

GRANT SELECT, INSERT, UPDATE, DELETE ON api.subscriptions, api.subscription_positions,
    api.deliveries TO points_app;

COMMENT ON TABLE api.subscriptions IS 'Who is told of which events over HTTP: docs/webhooks.md.';
COMMENT ON TABLE api.subscription_positions IS
'Up to which position of each shard a subscription''s deliveries were made.';
COMMENT ON TABLE api.deliveries IS
'What is or was to be sent to a subscription, with the answer to its last attempt.';
