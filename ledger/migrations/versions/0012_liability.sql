-- The program versions with their point values, read from the log itself, and the liability as a set: the
-- points in lots of each member as of a moment of the world, at the value that is in force then.

CREATE VIEW read.program_versions AS
    SELECT timestamptz 'epoch' + (p.event ->> 'effective_from')::bigint * interval '1 microsecond'
               AS effective_from,
           p.event ->> 'version' AS version,
           (p.event -> 'content' ->> 'point_value')::bigint AS point_value,
           p.event -> 'content' ->> 'currency' AS currency,
           p.position
    FROM (SELECT e.position, convert_from(e.payload, 'UTF8')::jsonb AS event
          FROM ledger.events e
          WHERE e.shard = -1 AND e.type = 'ProgramPublished') p;

CREATE FUNCTION read.liability_at(at timestamptz)
RETURNS TABLE (member_id text, points bigint, debt bigint, point_value bigint, liability numeric,
               currency text)
LANGUAGE sql STABLE AS $$
    WITH worth AS MATERIALIZED (
        SELECT v.point_value, v.currency FROM read.program_versions v
        WHERE v.effective_from <= liability_at.at
        ORDER BY v.effective_from DESC, v.position DESC LIMIT 1
    )
    SELECT b.member_id, b.available + b.debt + b.pending + b.reserved, b.debt, w.point_value,
           (b.available + b.debt + b.pending + b.reserved)::numeric * w.point_value, w.currency
    FROM read.balance_at(liability_at.at) b CROSS JOIN worth w
$$;

GRANT SELECT ON read.program_versions TO points_reader, points_app;

COMMENT ON VIEW read.program_versions IS
'Program versions and what a point is worth; of two of one moment the later position counts.';
COMMENT ON COLUMN read.program_versions.effective_from IS 'From when, inclusive.';
COMMENT ON COLUMN read.program_versions.version IS 'The program version that says so.';
COMMENT ON COLUMN read.program_versions.point_value IS 'Minor units of the currency for one point.';
COMMENT ON COLUMN read.program_versions.currency IS 'The program''s currency, ISO 4217.';
COMMENT ON COLUMN read.program_versions.position IS 'Where it stands in the system shard.';
COMMENT ON FUNCTION read.liability_at(timestamptz) IS
'All members'' points in lots at a moment of the world, and their worth in minor units; debt apart.';
