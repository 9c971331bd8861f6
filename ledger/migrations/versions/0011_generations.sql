-- How often the tables of a read model were exchanged for others: by a rebuild, or on the way back.
-- A runner that goes on meanwhile sees by it that what it wrote last is not there any more.
CREATE TABLE read.generations (
    projection  text PRIMARY KEY,
    generation  bigint NOT NULL CHECK (generation > 0),
    switched_at timestamptz NOT NULL
);
COMMENT ON TABLE read.generations IS
'How often, and when last, the tables of each read model were exchanged for rebuilt ones.';
GRANT SELECT ON read.generations TO points_reader, points_app;
