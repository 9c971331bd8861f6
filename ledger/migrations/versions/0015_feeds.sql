-- How far the change feeds have told of each shard. It moves only after Kafka has confirmed.
CREATE TABLE read.feed_positions (
    topic           text NOT NULL,
    shard           integer NOT NULL,
    position        bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    version         bigint NOT NULL DEFAULT 0,
    system_position bigint NOT NULL DEFAULT -1,
    sweep_after     uuid,
    PRIMARY KEY (topic, shard)
);
GRANT SELECT ON read.feed_positions TO points_reader, points_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON read.feed_positions TO points_app;

COMMENT ON TABLE read.feed_positions IS
'How far the change feeds have told Kafka of each shard of the log, by topic.';
COMMENT ON COLUMN read.feed_positions.version IS
'The newest version that was sent: nothing of an older state is sent after it.';
COMMENT ON COLUMN read.feed_positions.system_position IS
'The system position that the states sent reflect; -1: nothing was sent yet.';
COMMENT ON COLUMN read.feed_positions.sweep_after IS
'While all members are told of: the last account done; else NULL.';
