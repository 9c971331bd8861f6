-- The ledger: the log of each shard, what must change together with it, and who may touch it.
-- Rows of the log, of its dedupe rows and of the ledger itself are never changed or deleted.

CREATE SCHEMA IF NOT EXISTS ledger;

-- The ledger that lives in this database: one row.
CREATE TABLE ledger.ledger (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    ledger_id   uuid NOT NULL,
    program_id  text NOT NULL,
    currency    text NOT NULL,
    time_zone   text NOT NULL,
    shards      integer NOT NULL CHECK (shards BETWEEN 1 AND 1024),
    created_at  timestamptz NOT NULL
);

-- Where each shard's log ends; -1 is the system shard. Whoever appends locks this row first.
-- decided_to: latest occurred_at decided in the shard. due_epoch: moves when a due row is put later
-- without an event, so that other processes forget what they know of due rows.
CREATE TABLE ledger.heads (
    shard       integer PRIMARY KEY CHECK (shard >= -1),
    position    bigint NOT NULL CHECK (position >= 0),
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    recorded_at timestamptz NOT NULL,
    decided_to  timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z',
    due_epoch   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);  -- each append rewrites its rows: room for new versions in the same page

-- The log. Each shard is a partition of its own (events_0, events_1 … events_system).
CREATE TABLE ledger.events (
    shard       integer NOT NULL,
    position    bigint NOT NULL,
    account_id  uuid NOT NULL,
    member_id   text NOT NULL,
    version     integer NOT NULL,
    type        text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    effects     smallint NOT NULL,
    payload     bytea NOT NULL,
    hash        bytea NOT NULL,
    PRIMARY KEY (shard, position),
    UNIQUE (shard, account_id, version)
) PARTITION BY LIST (shard);

-- Payloads over 2 kB are compressed to a fifth; with lz4, where the server has it, at a tenth of
-- the time that PostgreSQL's own pglz takes.
DO $$
BEGIN
    ALTER TABLE ledger.events ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN NULL;
END
$$;

CREATE INDEX events_effects ON ledger.events (shard, position) WHERE effects > 0;

-- One row for each input that was taken, for ever: its key, its content, the event it led to.
CREATE TABLE ledger.inputs (
    shard    integer NOT NULL,
    key      bytea NOT NULL,
    content  bytea NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (shard, key)
) PARTITION BY LIST (shard);

-- Returns that wait for their purchase: under which source they are counted as waiting.
CREATE TABLE ledger.waiting (
    shard  integer NOT NULL,
    key    bytea NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (shard, key)
);

-- How far each topic-partition was handled: the truth, moved by the append itself.
CREATE TABLE ledger.stream_positions (
    "group"       text NOT NULL,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    next_offset   bigint NOT NULL,
    topic_id      bytea,
    last_checksum bytea,
    event_time    timestamptz,
    PRIMARY KEY ("group", topic, partition)
) WITH (fillfactor = 20);

-- How many inputs ended how. slot: the partition, or the lowest shard of a direct call, so that
-- appends that do not wait for each other's heads do not wait here either. A count that moves can
-- leave one slot below 0; the sum over the slots is what counts.
CREATE TABLE ledger.outcome_counts (
    source  text NOT NULL,
    slot    integer NOT NULL,
    type    text NOT NULL,
    outcome text NOT NULL,
    n       bigint NOT NULL,
    PRIMARY KEY (source, slot, type, outcome)
) WITH (fillfactor = 20);

CREATE TABLE ledger.dead_letters (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source           text NOT NULL,
    partition        integer,
    "offset"         bigint,
    key              bytea,
    value            bytea,
    headers          bytea,
    record_timestamp bigint,
    type             text NOT NULL,
    member_id        text,
    code             text NOT NULL,
    path             text NOT NULL,
    message          text NOT NULL,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    status           text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'retried', 'discarded')),
    attempts         integer NOT NULL DEFAULT 1,
    closed_at        timestamptz
);
CREATE INDEX dead_letters_open ON ledger.dead_letters (id) WHERE status = 'open';
CREATE INDEX dead_letters_member ON ledger.dead_letters (member_id) WHERE member_id IS NOT NULL;

-- A shortcut past an account's first events; may be deleted at any time.
CREATE TABLE ledger.snapshots (
    shard       integer NOT NULL,
    account_id  uuid NOT NULL,
    version     integer NOT NULL,
    schema_hash bytea NOT NULL,
    state       bytea NOT NULL,
    PRIMARY KEY (shard, account_id)
);

-- When to look at an account again. Never later than its next due moment, possibly earlier.
CREATE TABLE ledger.due (
    shard      integer NOT NULL,
    account_id uuid NOT NULL,
    member_id  text NOT NULL,
    due_at     timestamptz NOT NULL,
    PRIMARY KEY (shard, account_id)
);
CREATE INDEX due_at ON ledger.due (shard, due_at);

-- Up to which position the effects of a shard's events were published.
CREATE TABLE ledger.effects_cursors (
    shard    integer PRIMARY KEY,
    position bigint NOT NULL
);

-- Personal data, erasable; the log holds none.
CREATE TABLE ledger.profiles (
    member_id  text PRIMARY KEY,
    profile    jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE ledger.member_keys (
    member_id text PRIMARY KEY,
    key       bytea NOT NULL CHECK (octet_length(key) = 32)
);

-- The application's role. Sessions of the worker, the API and the CLI run under it.
DO $$
BEGIN
    CREATE ROLE points_app NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server has it
END
$$;
DO $$
BEGIN
    EXECUTE format('GRANT points_app TO %I', current_user);
EXCEPTION
    WHEN invalid_grant_operation THEN NULL;  -- we are that role's superior already
END
$$;

REVOKE ALL ON SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO points_app;
GRANT SELECT ON ledger.ledger, ledger.schema_version TO points_app;
GRANT SELECT, INSERT ON ledger.events, ledger.inputs TO points_app;
GRANT SELECT, UPDATE ON ledger.heads TO points_app;
GRANT SELECT, INSERT, UPDATE ON ledger.stream_positions, ledger.outcome_counts,
    ledger.effects_cursors, ledger.dead_letters TO points_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.waiting, ledger.snapshots, ledger.due,
    ledger.profiles, ledger.member_keys TO points_app;
-- Dead letters of a member are erased with the member: their bytes may be personal.
GRANT DELETE ON ledger.dead_letters TO points_app;
