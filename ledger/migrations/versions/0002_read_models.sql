-- The read models: schema `read`, its tables, documented functions and views, and who may read.
-- Everything here is derived from ledger.events and can be emptied and folded again. Tables hold no
-- clock: what time alone changes is stored ahead as steps and intervals, and the functions pick the
-- one that contains the asked moment. An open end is NULL.

CREATE SCHEMA read;

CREATE TABLE read.positions (
    projection text NOT NULL,
    shard integer NOT NULL,
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    system_position bigint NOT NULL DEFAULT 0 CHECK (system_position >= 0),
    refresh_target bigint,
    refresh_after uuid,
    PRIMARY KEY (projection, shard)
);

CREATE TABLE read.balances (
    member_id text COLLATE "C" PRIMARY KEY,
    shard integer NOT NULL,
    opened_at timestamptz NOT NULL,
    settled_to timestamptz NOT NULL,
    available bigint NOT NULL,
    pending bigint NOT NULL,
    reserved bigint NOT NULL,
    expired bigint NOT NULL,
    granted bigint NOT NULL,
    debt bigint NOT NULL,
    step_at timestamptz[] NOT NULL,
    step_available bigint[] NOT NULL,
    step_pending bigint[] NOT NULL,
    step_reserved bigint[] NOT NULL,
    step_expired bigint[] NOT NULL,
    step_granted bigint[] NOT NULL,
    step_debt bigint[] NOT NULL
);

CREATE TABLE read.balance_changes (
    shard integer NOT NULL,
    position bigint NOT NULL,
    effective_at timestamptz NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    available bigint NOT NULL,
    pending bigint NOT NULL,
    reserved bigint NOT NULL,
    expired bigint NOT NULL,
    granted bigint NOT NULL,
    debt bigint NOT NULL,
    PRIMARY KEY (shard, position, effective_at)
);
CREATE INDEX balance_changes_member ON read.balance_changes (member_id, effective_at);

CREATE TABLE read.open_lots (
    member_id text COLLATE "C" NOT NULL,
    lot integer NOT NULL,
    rules text[] NOT NULL,
    source text NOT NULL,
    granted bigint NOT NULL,
    pending bigint NOT NULL,
    available bigint NOT NULL,
    reserved bigint NOT NULL,
    granted_at timestamptz NOT NULL,
    activates_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (member_id, lot)
);

CREATE TABLE read.tier_intervals (
    member_id text COLLATE "C" NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    tier text NOT NULL,
    PRIMARY KEY (member_id, valid_from)
);

CREATE TABLE read.tiers (
    member_id text COLLATE "C" PRIMARY KEY,
    shard integer NOT NULL,
    settled_to timestamptz NOT NULL,
    tier text NOT NULL,
    level integer NOT NULL,
    since timestamptz NOT NULL,
    measure text,
    period_from timestamptz,
    period_to timestamptz,
    reached bigint NOT NULL,
    next_tier text,
    next_at_least bigint,
    missing bigint
);

CREATE TABLE read.member_purchases (
    shard integer NOT NULL,
    position bigint NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('purchase', 'return')),
    order_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    purchased_at timestamptz NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (shard, position)
);
CREATE INDEX member_purchases_member ON read.member_purchases (member_id, occurred_at);

CREATE TABLE read.segment_intervals (
    member_id text COLLATE "C" NOT NULL,
    segment text COLLATE "C" NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    PRIMARY KEY (member_id, segment, entered_at)
);
CREATE INDEX segment_intervals_segment ON read.segment_intervals (segment, entered_at);

CREATE TABLE read.rfm_bounds (
    position bigint PRIMARY KEY,
    as_of timestamptz NOT NULL,
    members bigint NOT NULL,
    recency_days bigint[] NOT NULL,
    frequency bigint[] NOT NULL,
    monetary bigint[] NOT NULL
);

CREATE FUNCTION read.balance_at(at timestamptz)
RETURNS TABLE (member_id text, available bigint, pending bigint, reserved bigint, expired bigint,
               granted bigint, debt bigint, tier text)
LANGUAGE sql STABLE AS $$
    WITH total AS (
        SELECT b.member_id,
               CASE s.n WHEN 0 THEN b.available ELSE b.step_available[s.n] END AS available,
               CASE s.n WHEN 0 THEN b.pending ELSE b.step_pending[s.n] END AS pending,
               CASE s.n WHEN 0 THEN b.reserved ELSE b.step_reserved[s.n] END AS reserved,
               CASE s.n WHEN 0 THEN b.expired ELSE b.step_expired[s.n] END AS expired,
               CASE s.n WHEN 0 THEN b.granted ELSE b.step_granted[s.n] END AS granted,
               CASE s.n WHEN 0 THEN b.debt ELSE b.step_debt[s.n] END AS debt
        FROM read.balances b
        CROSS JOIN LATERAL (SELECT width_bucket(balance_at.at, b.step_at) AS n) s
        WHERE b.settled_to <= balance_at.at AND b.opened_at <= balance_at.at
        UNION ALL
        SELECT b.member_id,
               coalesce(sum(c.available), 0)::bigint, coalesce(sum(c.pending), 0)::bigint,
               coalesce(sum(c.reserved), 0)::bigint, coalesce(sum(c.expired), 0)::bigint,
               coalesce(sum(c.granted), 0)::bigint, coalesce(sum(c.debt), 0)::bigint
        FROM read.balances b
        LEFT JOIN read.balance_changes c
               ON c.member_id = b.member_id AND c.effective_at <= balance_at.at
        WHERE b.settled_to > balance_at.at AND b.opened_at <= balance_at.at
        GROUP BY b.member_id
    )
    SELECT total.member_id, total.available, total.pending, total.reserved, total.expired,
           total.granted, total.debt, coalesce(t.tier, 'none')
    FROM total
    LEFT JOIN read.tier_intervals t
           ON t.member_id = total.member_id AND t.valid_from <= balance_at.at
          AND (t.valid_to IS NULL OR t.valid_to > balance_at.at)
$$;

CREATE FUNCTION read.balance_of(member text, at timestamptz)
RETURNS TABLE (member_id text, available bigint, pending bigint, reserved bigint, expired bigint,
               granted bigint, debt bigint, tier text)
LANGUAGE sql STABLE AS $$
    SELECT b.member_id,
           CASE WHEN past.is THEN c.available
                WHEN s.n = 0 THEN b.available ELSE b.step_available[s.n] END,
           CASE WHEN past.is THEN c.pending
                WHEN s.n = 0 THEN b.pending ELSE b.step_pending[s.n] END,
           CASE WHEN past.is THEN c.reserved
                WHEN s.n = 0 THEN b.reserved ELSE b.step_reserved[s.n] END,
           CASE WHEN past.is THEN c.expired
                WHEN s.n = 0 THEN b.expired ELSE b.step_expired[s.n] END,
           CASE WHEN past.is THEN c.granted
                WHEN s.n = 0 THEN b.granted ELSE b.step_granted[s.n] END,
           CASE WHEN past.is THEN c.debt
                WHEN s.n = 0 THEN b.debt ELSE b.step_debt[s.n] END,
           coalesce(t.tier, 'none')
    FROM read.balances b
    CROSS JOIN LATERAL (SELECT b.settled_to > balance_of.at AS is) past
    CROSS JOIN LATERAL (SELECT width_bucket(balance_of.at, b.step_at) AS n) s
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(x.available), 0)::bigint AS available,
               coalesce(sum(x.pending), 0)::bigint AS pending,
               coalesce(sum(x.reserved), 0)::bigint AS reserved,
               coalesce(sum(x.expired), 0)::bigint AS expired,
               coalesce(sum(x.granted), 0)::bigint AS granted,
               coalesce(sum(x.debt), 0)::bigint AS debt
        FROM read.balance_changes x
        WHERE past.is AND x.member_id = b.member_id AND x.effective_at <= balance_of.at
    ) c
    LEFT JOIN read.tier_intervals t
           ON t.member_id = b.member_id AND t.valid_from <= balance_of.at
          AND (t.valid_to IS NULL OR t.valid_to > balance_of.at)
    WHERE b.member_id = balance_of.member AND b.opened_at <= balance_of.at
$$;

CREATE FUNCTION read.segments_at(at timestamptz)
RETURNS TABLE (member_id text, segment text, entered_at timestamptz, left_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT s.member_id, s.segment, s.entered_at, s.left_at
    FROM read.segment_intervals s
    WHERE s.entered_at <= segments_at.at AND (s.left_at IS NULL OR s.left_at > segments_at.at)
$$;

CREATE FUNCTION read.values_at(at timestamptz)
RETURNS TABLE (member_id text, last_purchase_at timestamptz, recency_days bigint,
               frequency bigint, monetary bigint)
LANGUAGE sql STABLE AS $$
    SELECT p.member_id,
           max(p.occurred_at) FILTER (WHERE p.kind = 'purchase'),
           floor(extract(epoch FROM values_at.at
                 - max(p.occurred_at) FILTER (WHERE p.kind = 'purchase')) / 86400)::bigint,
           count(*) FILTER (WHERE p.kind = 'purchase'
                              AND p.purchased_at > values_at.at - interval '8760 hours'),
           coalesce(sum(p.amount) FILTER (
                 WHERE p.purchased_at > values_at.at - interval '8760 hours'), 0)::bigint
    FROM read.member_purchases p
    WHERE p.occurred_at <= values_at.at
    GROUP BY p.member_id
    HAVING count(*) FILTER (WHERE p.kind = 'purchase') > 0
$$;

CREATE FUNCTION read.rfm_bounds_as_of(at timestamptz)
RETURNS TABLE (members bigint, recency_days bigint[], frequency bigint[], monetary bigint[])
LANGUAGE sql STABLE AS $$
    SELECT count(*),
           percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY v.recency_days),
           percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY v.frequency),
           percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY v.monetary)
    FROM read.values_at(rfm_bounds_as_of.at) v
$$;

CREATE FUNCTION read.rfm_at(at timestamptz)
RETURNS TABLE (member_id text, recency_days bigint, frequency bigint, monetary bigint,
               recency_score bigint, frequency_score bigint, monetary_score bigint)
LANGUAGE sql STABLE AS $$
    SELECT v.member_id, v.recency_days, v.frequency, v.monetary,
           CASE WHEN b.as_of IS NOT NULL THEN
               5 - (SELECT count(*) FROM unnest(b.recency_days) AS u WHERE u < v.recency_days) END,
           CASE WHEN b.as_of IS NOT NULL THEN
               1 + (SELECT count(*) FROM unnest(b.frequency) AS u WHERE u < v.frequency) END,
           CASE WHEN b.as_of IS NOT NULL THEN
               1 + (SELECT count(*) FROM unnest(b.monetary) AS u WHERE u < v.monetary) END
    FROM read.values_at(rfm_at.at) v
    LEFT JOIN (SELECT * FROM read.rfm_bounds x WHERE x.as_of <= rfm_at.at
               ORDER BY x.as_of DESC, x.position DESC LIMIT 1) b ON true
$$;

CREATE VIEW read.balances_now AS SELECT * FROM read.balance_at(now());
CREATE VIEW read.segments_now AS SELECT * FROM read.segments_at(now());
CREATE VIEW read.tiers_now AS
    SELECT i.member_id, i.tier, i.valid_from AS since, i.valid_to AS until
    FROM read.tier_intervals i
    WHERE i.valid_from <= now() AND (i.valid_to IS NULL OR i.valid_to > now());
CREATE VIEW read.tier_progress AS
    SELECT t.member_id, t.tier, t.level, t.since, t.measure, t.period_from, t.period_to,
           t.reached, t.next_tier, t.next_at_least, t.missing, t.settled_to AS as_of
    FROM read.tiers t;
CREATE VIEW read.lots AS
    SELECT l.member_id, l.lot, l.rules, l.source, l.granted, l.pending, l.available, l.reserved,
           l.granted_at, l.activates_at, l.expires_at, b.settled_to AS as_of
    FROM read.open_lots l JOIN read.balances b USING (member_id);
CREATE VIEW read.progress AS
    SELECT p.projection, p.shard, p.position, coalesce(h.position, 0) AS head,
           coalesce(h.position, 0) - p.position AS behind
    FROM read.positions p LEFT JOIN ledger.heads h USING (shard);

COMMENT ON SCHEMA read IS
'Read models folded from the log. Read the views and functions; the tables may change.';
COMMENT ON TABLE read.positions IS
'How far each projection has folded each shard (-1 is the system shard).';
COMMENT ON COLUMN read.positions.system_position IS
'Position of the newest event of the system shard that the shard''s rows reflect.';
COMMENT ON COLUMN read.positions.refresh_target IS
'While rows are computed anew: the system position they will reflect; else NULL.';
COMMENT ON COLUMN read.positions.refresh_after IS
'While rows are computed anew: the last account done; else NULL.';
COMMENT ON TABLE read.balances IS
'Per member: balances as of settled_to, and the steps ahead if nothing more arrives.';
COMMENT ON COLUMN read.balances.available IS
'Spendable points net of debt; below 0 is debt.';
COMMENT ON COLUMN read.balances.step_at IS
'Rising moments at which a balance will change; step_available[i] and so on hold from step_at[i].';
COMMENT ON TABLE read.balance_changes IS
'What each event changed, by the moment it took effect in the world; append-only.';
COMMENT ON TABLE read.open_lots IS
'Lots that hold points as of the member''s settled_to; expires_at NULL: never.';
COMMENT ON COLUMN read.open_lots.source IS
'The order it came with, REFEREE/ORDER for a referrer''s reward, or empty.';
COMMENT ON TABLE read.tier_intervals IS
'Which tier a member has from valid_from (inclusive) to valid_to (exclusive), the future included.';
COMMENT ON TABLE read.tiers IS
'The tier as of settled_to and the progress to the next one.';
COMMENT ON TABLE read.member_purchases IS
'Purchases and returns with their money (minor units; a return is negative); append-only.';
COMMENT ON COLUMN read.member_purchases.purchased_at IS
'When the order was bought: its money leaves the 365-day window 365 x 24 hours later.';
COMMENT ON TABLE read.segment_intervals IS
'In which segment a member is from entered_at (inclusive) to left_at (exclusive), the future too.';
COMMENT ON TABLE read.rfm_bounds IS
'Recorded quintile bounds; those with the latest as_of not after a moment hold at that moment.';
COMMENT ON FUNCTION read.balance_at(timestamptz) IS
'All members as of a moment of the world (occurred_at), past or future; available is net of debt.';
COMMENT ON FUNCTION read.balance_of(text, timestamptz) IS
'One member as of a moment of the world (occurred_at); no row before the account opened.';
COMMENT ON FUNCTION read.segments_at(timestamptz) IS
'Who is in which segment at a moment, past or future.';
COMMENT ON FUNCTION read.values_at(timestamptz) IS
'Recency (whole days of 24 hours), purchases and money net of returns over the last 365 days.';
COMMENT ON FUNCTION read.rfm_bounds_as_of(timestamptz) IS
'Quintile bounds over all members who had bought by a moment, to be recorded in the log.';
COMMENT ON FUNCTION read.rfm_at(timestamptz) IS
'Values and scores (5 = best) by the recorded bounds that hold at a moment; NULL without bounds.';
COMMENT ON VIEW read.balances_now IS 'read.balance_at of now.';
COMMENT ON COLUMN read.balances_now.available IS 'Spendable points net of debt; below 0 is debt.';
COMMENT ON COLUMN read.balances_now.pending IS 'Granted, not yet spendable.';
COMMENT ON COLUMN read.balances_now.reserved IS 'Held by reservations.';
COMMENT ON COLUMN read.balances_now.expired IS 'Points that expired unspent, in total.';
COMMENT ON COLUMN read.balances_now.granted IS 'Points granted by awards, in total.';
COMMENT ON COLUMN read.balances_now.debt IS 'Clawbacks that found no points; paid by the next.';
COMMENT ON COLUMN read.balances_now.tier IS 'The level''s id, or none.';
COMMENT ON COLUMN read.balances_now.member_id IS 'The member''s opaque id.';
COMMENT ON VIEW read.segments_now IS 'read.segments_at of now.';
COMMENT ON COLUMN read.segments_now.member_id IS 'The member''s opaque id.';
COMMENT ON COLUMN read.segments_now.segment IS 'The segment''s id in the program.';
COMMENT ON COLUMN read.segments_now.entered_at IS 'When all conditions began to hold.';
COMMENT ON COLUMN read.segments_now.left_at IS
'When they will end to hold if nothing more happens; NULL: never.';
COMMENT ON VIEW read.tiers_now IS
'Who has which tier now, since when, and until when if nothing more arrives.';
COMMENT ON COLUMN read.tiers_now.member_id IS 'The member''s opaque id.';
COMMENT ON COLUMN read.tiers_now.tier IS 'The level''s id, or none.';
COMMENT ON COLUMN read.tiers_now.since IS 'From when, inclusive.';
COMMENT ON COLUMN read.tiers_now.until IS
'Until when, exclusive, if nothing more arrives; NULL: for good.';
COMMENT ON VIEW read.tier_progress IS
'Progress to the next tier as of the moment to which the account was settled.';
COMMENT ON COLUMN read.tier_progress.member_id IS 'The member''s opaque id.';
COMMENT ON COLUMN read.tier_progress.tier IS 'The tier held as of as_of, or none.';
COMMENT ON COLUMN read.tier_progress.level IS '0 for none, then 1, 2, 3 in rising order.';
COMMENT ON COLUMN read.tier_progress.since IS 'From when it is held.';
COMMENT ON COLUMN read.tier_progress.measure IS
'amount_spent, points_earned or purchases; NULL: the program has no tiers.';
COMMENT ON COLUMN read.tier_progress.period_from IS 'Start of the period; NULL: the lifetime.';
COMMENT ON COLUMN read.tier_progress.period_to IS
'Its exclusive end, at which reached begins again at 0; NULL: the lifetime.';
COMMENT ON COLUMN read.tier_progress.next_tier IS 'The level above the tier held; NULL at the top.';
COMMENT ON COLUMN read.tier_progress.next_at_least IS 'What that level asks of the measure.';
COMMENT ON COLUMN read.tier_progress.as_of IS 'Up to when the account was settled.';
COMMENT ON COLUMN read.tier_progress.reached IS
'Of the measure, within [period_from, period_to): minor units, points or purchases.';
COMMENT ON COLUMN read.tier_progress.missing IS 'What next_at_least still asks for; NULL at the top.';
COMMENT ON VIEW read.lots IS 'Open lots with their dates, as of as_of.';
COMMENT ON COLUMN read.lots.member_id IS 'The member''s opaque id.';
COMMENT ON COLUMN read.lots.lot IS 'Number within the account: 1, 2, 3 and so on.';
COMMENT ON COLUMN read.lots.rules IS 'The rules whose awards it holds.';
COMMENT ON COLUMN read.lots.source IS
'The order it came with, REFEREE/ORDER for a referrer''s reward, or empty.';
COMMENT ON COLUMN read.lots.granted IS 'Points it was granted with.';
COMMENT ON COLUMN read.lots.pending IS 'Points left, not yet spendable.';
COMMENT ON COLUMN read.lots.available IS 'Points left, spendable.';
COMMENT ON COLUMN read.lots.reserved IS 'Points left, held by reservations.';
COMMENT ON COLUMN read.lots.granted_at IS 'When the points were earned.';
COMMENT ON COLUMN read.lots.activates_at IS 'From when they are spendable, inclusive.';
COMMENT ON COLUMN read.lots.expires_at IS 'Until when, exclusive; NULL: they never expire.';
COMMENT ON COLUMN read.lots.as_of IS 'Up to when the account was settled.';
COMMENT ON COLUMN read.progress.projection IS 'balances, tiers or segments.';
COMMENT ON COLUMN read.progress.shard IS 'The shard; -1 is the system shard.';
COMMENT ON COLUMN read.progress.position IS 'Folded up to here.';
COMMENT ON COLUMN read.progress.head IS 'Position of the shard''s newest event.';
COMMENT ON COLUMN read.progress.behind IS 'Events still to fold.';
COMMENT ON VIEW read.progress IS 'Events folded and still to fold, by projection and shard.';

DO $$ BEGIN
    CREATE ROLE points_reader NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT USAGE ON SCHEMA read TO points_reader, points_app;
GRANT SELECT ON ALL TABLES IN SCHEMA read TO points_reader;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA read TO points_app;
