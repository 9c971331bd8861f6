-- Where the input comes from, how far it was read, and why a dead letter was given up.

-- The one Kafka cluster and consumer group that feed this ledger: one row, written by the first
-- worker. A worker of another cluster or group is refused: two installations must not share a
-- database. cluster_id is null while the brokers do not tell it.
CREATE TABLE ledger.feed (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    cluster_id  text,
    "group"     text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON ledger.feed TO points_app;

-- next_offset is the offset after the last record that was handled; from there to read_to lies no
-- record (the ends of transactions). The log may begin anywhere up to read_to: nothing is lost.
ALTER TABLE ledger.stream_positions ADD COLUMN read_to bigint;

-- Who gave a dead letter up, and why; when is closed_at.
ALTER TABLE ledger.dead_letters ADD COLUMN discarded_by text, ADD COLUMN discard_reason text;
CREATE INDEX dead_letters_closed ON ledger.dead_letters (closed_at) WHERE status <> 'open';
