-- The read model `kpis` (docs/kpi.md): what happened, one append-only row each, and the figures as
-- functions over these rows. Local days, weeks and months are those of the ledger's zone.

CREATE TABLE read.sale_notes (
    shard integer NOT NULL,
    position bigint NOT NULL,
    member_id text COLLATE "C",
    kind text NOT NULL CHECK (kind IN ('purchase', 'return')),
    order_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    store_id text,
    region text,
    channel text,
    amount bigint NOT NULL,
    rules text[] NOT NULL,
    points bigint[] NOT NULL,
    PRIMARY KEY (shard, position)
);
-- What a return or a redemption was of: looked up by its order.
CREATE INDEX sale_notes_order ON read.sale_notes (order_id) WHERE kind = 'purchase';
-- A history is appended in the order of its moments, or nearly: a period is some blocks of it.
CREATE INDEX sale_notes_time ON read.sale_notes USING brin (occurred_at);

CREATE TABLE read.point_notes (
    shard integer NOT NULL,
    position bigint NOT NULL,
    n integer NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    effective_at timestamptz NOT NULL,
    flow text NOT NULL,
    detail text,
    order_id text COLLATE "C",
    award integer,
    points bigint NOT NULL,
    PRIMARY KEY (shard, position, n)
);
CREATE INDEX point_notes_time ON read.point_notes USING brin (effective_at);

CREATE TABLE read.referral_steps (
    shard integer NOT NULL,
    position bigint NOT NULL,
    step text NOT NULL,
    referee_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (shard, position, step)
);

CREATE TABLE read.point_values (
    position bigint PRIMARY KEY,
    effective_from timestamptz NOT NULL,
    point_value bigint NOT NULL
);

CREATE TYPE read.kpi_grain AS ENUM ('all', 'day', 'week', 'month');
CREATE TYPE read.kpi_by AS ENUM ('all', 'store', 'region', 'channel', 'segment', 'campaign');

CREATE VIEW read.program AS
    SELECT l.program_id, l.currency, l.time_zone FROM ledger.ledger l;

-- A return is where its order was bought, and is of what that had earned. Of two purchases of one
-- order_id (invariant 5: they are alerted) it is the member's own, else the first.
CREATE VIEW read.sales AS
    SELECT s.member_id, s.kind, s.order_id, s.occurred_at, s.store_id, s.region, s.channel,
           s.amount, s.rules, s.points
    FROM read.sale_notes s WHERE s.kind = 'purchase'
    UNION ALL
    SELECT s.member_id, s.kind, s.order_id, s.occurred_at, p.store_id, p.region, p.channel,
           s.amount, coalesce(p.rules, '{}'), coalesce(p.points, '{}')
    FROM read.sale_notes s
    LEFT JOIN LATERAL (
        SELECT * FROM read.sale_notes x WHERE x.kind = 'purchase' AND x.order_id = s.order_id
        ORDER BY (x.member_id = s.member_id) DESC NULLS LAST, x.occurred_at, x.shard, x.position
        LIMIT 1
    ) p ON true
    WHERE s.kind = 'return';

-- What purchases granted stands with them; what time has changed since an account was settled, and
-- will change, stands as steps with its balances.
CREATE VIEW read.point_flows AS
    SELECT s.member_id, s.occurred_at AS effective_at, 'granted'::text AS flow, a.rule AS detail,
           s.order_id, s.store_id, s.region, s.channel, a.points
    FROM read.sale_notes s
    CROSS JOIN LATERAL unnest(s.rules, s.points) AS a (rule, points)
    WHERE s.kind = 'purchase' AND a.points <> 0
    UNION ALL
    SELECT n.member_id, n.effective_at, n.flow, n.detail,
           n.order_id, NULL, NULL, NULL, n.points
    FROM read.point_notes n WHERE n.order_id IS NULL
    UNION ALL
    SELECT n.member_id, n.effective_at, n.flow,
           CASE WHEN n.award IS NULL THEN n.detail
                ELSE coalesce(p.rules[n.award + 1], 'referral') END,
           n.order_id, p.store_id, p.region, p.channel, n.points
    FROM read.point_notes n
    LEFT JOIN LATERAL (
        SELECT * FROM read.sale_notes x WHERE x.kind = 'purchase' AND x.order_id = n.order_id
        ORDER BY (x.member_id = n.member_id) DESC NULLS LAST, x.occurred_at, x.shard, x.position
        LIMIT 1
    ) p ON true
    WHERE n.order_id IS NOT NULL
    UNION ALL
    SELECT b.member_id, b.step_at[s.n], f.flow, NULL, NULL, NULL, NULL, NULL, f.points
    FROM read.balances b
    CROSS JOIN LATERAL generate_subscripts(b.step_at, 1) AS s (n)
    CROSS JOIN LATERAL (
        SELECT b.step_granted[s.n] - CASE s.n WHEN 1 THEN b.granted
                                     ELSE b.step_granted[s.n - 1] END AS granted,
               b.step_expired[s.n] - CASE s.n WHEN 1 THEN b.expired
                                     ELSE b.step_expired[s.n - 1] END AS expired,
               b.step_available[s.n] + b.step_pending[s.n] + b.step_reserved[s.n]
               - CASE s.n WHEN 1 THEN b.available + b.pending + b.reserved
                 ELSE b.step_available[s.n - 1] + b.step_pending[s.n - 1]
                      + b.step_reserved[s.n - 1] END AS held
    ) d
    CROSS JOIN LATERAL (
        VALUES ('granted'::text, d.granted), ('expired', d.expired),
               ('revoked', d.granted - d.expired - d.held)
    ) AS f (flow, points)
    WHERE f.points <> 0;

CREATE FUNCTION read.kpi_sale_rows(
    since timestamptz, until timestamptz, grain read.kpi_grain, by read.kpi_by)
RETURNS TABLE (period date, value text, member_id text, kind text, order_id text,
               occurred_at timestamptz, amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE kpi_sale_rows.grain
                WHEN 'all' THEN (kpi_sale_rows.since AT TIME ZONE z.time_zone)::date
                ELSE date_trunc(kpi_sale_rows.grain::text,
                                s.occurred_at AT TIME ZONE z.time_zone)::date END,
           CASE kpi_sale_rows.by
                WHEN 'all' THEN 'all'
                WHEN 'store' THEN coalesce(s.store_id, '')
                WHEN 'region' THEN coalesce(s.region, '')
                WHEN 'channel' THEN coalesce(s.channel, '')
                ELSE v.value END,
           s.member_id, s.kind, s.order_id, s.occurred_at, s.amount
    FROM read.sales s
    CROSS JOIN (SELECT time_zone FROM read.program) z
    CROSS JOIN LATERAL (
        SELECT NULL::text AS value WHERE kpi_sale_rows.by NOT IN ('segment', 'campaign')
        UNION ALL
        SELECT i.segment FROM read.segment_intervals i
        WHERE kpi_sale_rows.by = 'segment' AND i.member_id = s.member_id
          AND i.entered_at <= s.occurred_at
          AND (i.left_at IS NULL OR i.left_at > s.occurred_at)
        UNION ALL
        SELECT DISTINCT a.rule FROM unnest(s.rules, s.points) AS a (rule, points)
        WHERE kpi_sale_rows.by = 'campaign' AND a.points > 0
    ) v
    WHERE s.occurred_at >= kpi_sale_rows.since AND s.occurred_at < kpi_sale_rows.until
$$;

CREATE FUNCTION read.kpi_flow_rows(
    since timestamptz, until timestamptz, grain read.kpi_grain, by read.kpi_by)
RETURNS TABLE (period date, value text, member_id text, flow text, detail text, order_id text,
               effective_at timestamptz, points bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE kpi_flow_rows.grain
                WHEN 'all' THEN (kpi_flow_rows.since AT TIME ZONE z.time_zone)::date
                ELSE date_trunc(kpi_flow_rows.grain::text,
                                f.effective_at AT TIME ZONE z.time_zone)::date END,
           CASE kpi_flow_rows.by
                WHEN 'all' THEN 'all'
                WHEN 'store' THEN coalesce(f.store_id, '')
                WHEN 'region' THEN coalesce(f.region, '')
                WHEN 'channel' THEN coalesce(f.channel, '')
                ELSE v.value END,
           f.member_id, f.flow, f.detail, f.order_id, f.effective_at, f.points
    FROM read.point_flows f
    CROSS JOIN (SELECT time_zone FROM read.program) z
    CROSS JOIN LATERAL (
        SELECT NULL::text AS value WHERE kpi_flow_rows.by NOT IN ('segment', 'campaign')
        UNION ALL
        SELECT i.segment FROM read.segment_intervals i
        WHERE kpi_flow_rows.by = 'segment' AND i.member_id = f.member_id
          AND i.entered_at <= f.effective_at
          AND (i.left_at IS NULL OR i.left_at > f.effective_at)
        UNION ALL
        SELECT f.detail WHERE kpi_flow_rows.by = 'campaign' AND f.flow IN ('granted', 'revoked')
                          AND f.detail IS NOT NULL
    ) v
    WHERE f.effective_at >= kpi_flow_rows.since AND f.effective_at < kpi_flow_rows.until
$$;

CREATE FUNCTION read.kpi_sales(
    since timestamptz, until timestamptz, grain read.kpi_grain, by read.kpi_by)
RETURNS TABLE (period date, value text, purchases bigint, member_purchases bigint,
               amount bigint, member_amount bigint, member_returned bigint, active_members bigint,
               participation_purchases numeric, participation_amount numeric,
               average_check_members numeric, average_check_others numeric, frequency numeric)
LANGUAGE sql STABLE AS $$
    SELECT t.period, t.value, t.purchases, t.member_purchases, t.amount, t.member_amount,
           t.member_returned, t.active_members,
           round(t.member_purchases / nullif(t.purchases, 0)::numeric, 6),
           round(t.member_amount / nullif(t.amount, 0)::numeric, 6),
           round(t.member_amount / nullif(t.member_purchases, 0)::numeric, 6),
           round((t.amount - t.member_amount)
                 / nullif(t.purchases - t.member_purchases, 0)::numeric, 6),
           round(t.member_purchases / nullif(t.active_members, 0)::numeric, 6)
    FROM (
        SELECT r.period, r.value,
               count(*) FILTER (WHERE r.kind = 'purchase') AS purchases,
               count(*) FILTER (WHERE r.kind = 'purchase' AND r.member_id IS NOT NULL)
                   AS member_purchases,
               coalesce(sum(r.amount) FILTER (WHERE r.kind = 'purchase'), 0)::bigint AS amount,
               coalesce(sum(r.amount) FILTER (
                   WHERE r.kind = 'purchase' AND r.member_id IS NOT NULL), 0)::bigint
                   AS member_amount,
               coalesce(-sum(r.amount) FILTER (WHERE r.kind = 'return'), 0)::bigint
                   AS member_returned,
               count(DISTINCT r.member_id) FILTER (WHERE r.kind = 'purchase') AS active_members
        FROM read.kpi_sale_rows(
            kpi_sales.since, kpi_sales.until, kpi_sales.grain, kpi_sales.by) r
        GROUP BY r.period, r.value
    ) t
    ORDER BY t.period, t.value
$$;

CREATE FUNCTION read.kpi_points(
    since timestamptz, until timestamptz, grain read.kpi_grain, by read.kpi_by)
RETURNS TABLE (period date, value text, granted bigint, revoked bigint, redeemed bigint,
               restored bigint, expired bigint, adjusted bigint, member_amount bigint,
               earn_rate numeric, burn_rate numeric, redemption_rate numeric, breakage numeric)
LANGUAGE sql STABLE AS $$
    SELECT t.period, t.value, t.granted, t.revoked, t.redeemed, t.restored, t.expired, t.adjusted,
           t.member_amount,
           round(100 * (t.granted - t.revoked) / nullif(t.member_amount, 0)::numeric, 6),
           round(100 * (t.redeemed - t.restored) / nullif(t.member_amount, 0)::numeric, 6),
           round((t.redeemed - t.restored) / nullif(t.granted - t.revoked, 0)::numeric, 6),
           round(t.expired / nullif(t.expired + t.redeemed - t.restored, 0)::numeric, 6)
    FROM (
        SELECT u.period, u.value,
               coalesce(sum(u.points) FILTER (WHERE u.flow = 'granted'), 0)::bigint AS granted,
               coalesce(sum(u.points) FILTER (WHERE u.flow = 'revoked'), 0)::bigint AS revoked,
               coalesce(sum(u.points) FILTER (
                   WHERE u.flow = 'redeemed' AND u.points > 0), 0)::bigint AS redeemed,
               coalesce(-sum(u.points) FILTER (
                   WHERE u.flow = 'redeemed' AND u.points < 0), 0)::bigint AS restored,
               coalesce(sum(u.points) FILTER (WHERE u.flow = 'expired'), 0)::bigint AS expired,
               coalesce(sum(u.points) FILTER (WHERE u.flow = 'adjusted'), 0)::bigint AS adjusted,
               coalesce(sum(u.amount), 0)::bigint AS member_amount
        FROM (
            SELECT f.period, f.value, f.flow, f.points, NULL::bigint AS amount
            FROM read.kpi_flow_rows(
                kpi_points.since, kpi_points.until, kpi_points.grain, kpi_points.by) f
            UNION ALL
            SELECT r.period, r.value, NULL, NULL, r.amount
            FROM read.kpi_sale_rows(
                kpi_points.since, kpi_points.until, kpi_points.grain, kpi_points.by) r
            WHERE r.member_id IS NOT NULL
        ) u
        GROUP BY u.period, u.value
    ) t
    ORDER BY t.period, t.value
$$;

CREATE FUNCTION read.kpi_campaigns(since timestamptz, until timestamptz, grain read.kpi_grain)
RETURNS TABLE (period date, campaign text, awards bigint, members bigint, granted bigint,
               taken_back bigint, cost bigint, orders bigint, amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(f.period, s.period), coalesce(f.value, s.value), coalesce(f.awards, 0),
           coalesce(f.members, 0), coalesce(f.granted, 0), coalesce(f.taken_back, 0),
           coalesce(f.cost, 0), coalesce(s.orders, 0), coalesce(s.amount, 0)
    FROM (
        SELECT r.period, r.value,
               count(*) FILTER (WHERE r.flow = 'granted' AND r.points > 0) AS awards,
               count(DISTINCT r.member_id) FILTER (WHERE r.flow = 'granted' AND r.points > 0)
                   AS members,
               coalesce(sum(r.points) FILTER (WHERE r.flow = 'granted'), 0)::bigint AS granted,
               coalesce(sum(r.points) FILTER (WHERE r.flow = 'revoked'), 0)::bigint AS taken_back,
               sum(CASE r.flow WHEN 'granted' THEN r.points ELSE -r.points END
                   * coalesce(w.point_value, 0))::bigint AS cost
        FROM read.kpi_flow_rows(
            kpi_campaigns.since, kpi_campaigns.until, kpi_campaigns.grain, 'campaign') r
        LEFT JOIN LATERAL (
            SELECT v.point_value FROM read.point_values v WHERE v.effective_from <= r.effective_at
            ORDER BY v.effective_from DESC, v.position DESC LIMIT 1
        ) w ON true
        GROUP BY r.period, r.value
    ) f
    FULL JOIN (
        SELECT r.period, r.value, count(*) FILTER (WHERE r.kind = 'purchase') AS orders,
               sum(r.amount)::bigint AS amount
        FROM read.kpi_sale_rows(
            kpi_campaigns.since, kpi_campaigns.until, kpi_campaigns.grain, 'campaign') r
        GROUP BY r.period, r.value
    ) s ON s.period = f.period AND s.value = f.value
    ORDER BY 1, 2
$$;

CREATE FUNCTION read.kpi_retention(
    since timestamptz, until timestamptz, grain read.kpi_grain, by read.kpi_by)
RETURNS TABLE (cohort date, value text, n integer, period date, size bigint, active bigint,
               retention numeric)
LANGUAGE sql STABLE AS $$
    WITH bought AS (
        SELECT r.value, r.member_id, r.period, min(r.occurred_at) AS first_at
        FROM read.kpi_sale_rows(
            '0001-01-02Z', kpi_retention.until, kpi_retention.grain, kpi_retention.by) r
        WHERE r.kind = 'purchase' AND r.member_id IS NOT NULL
        GROUP BY r.value, r.member_id, r.period
    ), firsts AS (
        SELECT b.value, b.member_id, min(b.period) AS cohort FROM bought b
        GROUP BY b.value, b.member_id HAVING min(b.first_at) >= kpi_retention.since
    ), sizes AS (
        SELECT f.value, f.cohort, count(*) AS size FROM firsts f GROUP BY f.value, f.cohort
    ), actives AS (
        SELECT f.value, f.cohort, b.period, count(*) AS active
        FROM firsts f JOIN bought b USING (value, member_id)
        GROUP BY f.value, f.cohort, b.period
    )
    SELECT s.cohort, s.value,
           CASE kpi_retention.grain
                WHEN 'day' THEN p.period - s.cohort
                WHEN 'week' THEN (p.period - s.cohort) / 7
                WHEN 'month' THEN (extract(year FROM p.period) * 12 + extract(month FROM p.period)
                    - extract(year FROM s.cohort) * 12 - extract(month FROM s.cohort))::integer
                ELSE 0 END,
           p.period, s.size, coalesce(a.active, 0),
           round(coalesce(a.active, 0) / s.size::numeric, 6)
    FROM sizes s
    JOIN (SELECT DISTINCT b.period FROM bought b) p ON p.period >= s.cohort
    LEFT JOIN actives a ON a.value = s.value AND a.cohort = s.cohort AND a.period = p.period
    ORDER BY s.cohort, s.value, p.period
$$;

CREATE FUNCTION read.kpi_churn(
    since timestamptz, until timestamptz, grain read.kpi_grain, by read.kpi_by, idle_days integer)
RETURNS TABLE (period date, value text, current_at_start bigint, came bigint, regained bigint,
               churned bigint, current_at_end bigint, churn_rate numeric)
LANGUAGE sql STABLE AS $$
    WITH bought AS (
        SELECT r.value, r.occurred_at AS at,
               lag(r.occurred_at) OVER w AS before, lead(r.occurred_at) OVER w AS after,
               kpi_churn.idle_days * interval '24 hours' AS idle
        FROM read.kpi_sale_rows('0001-01-02Z', kpi_churn.until, kpi_churn.grain, kpi_churn.by) r
        WHERE r.kind = 'purchase' AND r.member_id IS NOT NULL
        WINDOW w AS (PARTITION BY r.value, r.member_id ORDER BY r.occurred_at)
    ), changes AS (
        SELECT b.value, b.at, (b.before IS NULL)::integer AS came,
               (b.before IS NOT NULL)::integer AS regained, 0 AS churned
        FROM bought b WHERE b.before IS NULL OR b.before + b.idle <= b.at
        UNION ALL
        SELECT b.value, b.at + b.idle, 0, 0, 1
        FROM bought b
        WHERE (b.after IS NULL OR b.at + b.idle <= b.after) AND b.at + b.idle < kpi_churn.until
    ), sums AS (
        SELECT CASE WHEN c.at < kpi_churn.since THEN NULL
                    WHEN kpi_churn.grain = 'all'
                    THEN (kpi_churn.since AT TIME ZONE z.time_zone)::date
                    ELSE date_trunc(kpi_churn.grain::text, c.at AT TIME ZONE z.time_zone)::date
                    END AS period,
               c.value, sum(c.came)::bigint AS came, sum(c.regained)::bigint AS regained,
               sum(c.churned)::bigint AS churned
        FROM changes c CROSS JOIN (SELECT time_zone FROM read.program) z
        GROUP BY 1, c.value
    ), totals AS (
        SELECT s.*, (sum(s.came + s.regained - s.churned) OVER (
            PARTITION BY s.value ORDER BY s.period NULLS FIRST))::bigint AS current_at_end
        FROM sums s
    )
    SELECT t.period, t.value, t.current_at_end - t.came - t.regained + t.churned,
           t.came, t.regained, t.churned, t.current_at_end,
           round(t.churned / nullif(t.current_at_end - t.came - t.regained + t.churned, 0)::numeric,
                 6)
    FROM totals t WHERE t.period IS NOT NULL
    ORDER BY t.period, t.value
$$;

CREATE FUNCTION read.kpi_referrals(since timestamptz, until timestamptz, grain read.kpi_grain)
RETURNS TABLE (period date, registered bigint, refused bigint, qualified bigint, closed bigint,
               rewarded bigint, taken_back bigint)
LANGUAGE sql STABLE AS $$
    WITH referrals AS (
        SELECT min(r.occurred_at) FILTER (WHERE r.step = 'registered') AS at,
               1 AS registered, 0 AS refused,
               bool_or(r.step = 'qualified')::integer AS qualified,
               bool_or(r.step = 'closed')::integer AS closed,
               bool_or(r.step = 'rewarded')::integer AS rewarded,
               bool_or(r.step = 'taken_back')::integer AS taken_back
        FROM read.referral_steps r WHERE r.step <> 'refused'
        GROUP BY r.referee_id
        UNION ALL
        SELECT r.occurred_at, 0, 1, 0, 0, 0, 0
        FROM read.referral_steps r WHERE r.step = 'refused'
    )
    SELECT CASE kpi_referrals.grain
                WHEN 'all' THEN (kpi_referrals.since AT TIME ZONE z.time_zone)::date
                ELSE date_trunc(kpi_referrals.grain::text, r.at AT TIME ZONE z.time_zone)::date
                END,
           sum(r.registered)::bigint, sum(r.refused)::bigint, sum(r.qualified)::bigint,
           sum(r.closed)::bigint, sum(r.rewarded)::bigint, sum(r.taken_back)::bigint
    FROM referrals r CROSS JOIN (SELECT time_zone FROM read.program) z
    WHERE r.at >= kpi_referrals.since AND r.at < kpi_referrals.until
    GROUP BY 1 ORDER BY 1
$$;

CREATE FUNCTION read.kpi_customer_value(at timestamptz)
RETURNS TABLE (member_id text, first_purchase_at timestamptz, last_purchase_at timestamptz,
               purchases bigint, amount bigint, returned bigint, value bigint, repeat_days bigint,
               recency_days bigint, age_days bigint, repeat_amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT t.member_id, t.first_at, t.last_at, t.purchases, t.amount, t.returned,
           t.amount - t.returned, t.days - 1, (t.last_day - t.first_day)::bigint,
           ((kpi_customer_value.at AT TIME ZONE z.time_zone)::date - t.first_day)::bigint,
           t.amount - t.first_amount
    FROM (
        SELECT d.member_id, min(d.first_at) AS first_at, max(d.last_at) AS last_at,
               sum(d.purchases)::bigint AS purchases, coalesce(sum(d.amount), 0)::bigint AS amount,
               coalesce(sum(d.returned), 0)::bigint AS returned,
               count(*) FILTER (WHERE d.purchases > 0) AS days,
               min(d.day) FILTER (WHERE d.purchases > 0) AS first_day,
               max(d.day) FILTER (WHERE d.purchases > 0) AS last_day,
               (array_agg(d.amount ORDER BY d.day) FILTER (WHERE d.purchases > 0))[1]
                   AS first_amount
        FROM (
            SELECT r.member_id, r.period AS day,
                   min(r.occurred_at) FILTER (WHERE r.kind = 'purchase') AS first_at,
                   max(r.occurred_at) FILTER (WHERE r.kind = 'purchase') AS last_at,
                   count(*) FILTER (WHERE r.kind = 'purchase') AS purchases,
                   sum(r.amount) FILTER (WHERE r.kind = 'purchase') AS amount,
                   -sum(r.amount) FILTER (WHERE r.kind = 'return') AS returned
            FROM read.kpi_sale_rows(
                '0001-01-02Z', kpi_customer_value.at, 'day', 'all') r
            WHERE r.member_id IS NOT NULL
            GROUP BY r.member_id, r.period
        ) d
        GROUP BY d.member_id
        HAVING sum(d.purchases) > 0
    ) t
    CROSS JOIN (SELECT time_zone FROM read.program) z
    ORDER BY t.member_id
$$;

CREATE FUNCTION read.kpi_rfm(at timestamptz)
RETURNS TABLE (recency_score bigint, frequency_score bigint, monetary_score bigint,
               members bigint, purchases bigint, amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT r.recency_score, r.frequency_score, r.monetary_score, count(*),
           sum(r.frequency)::bigint, sum(r.monetary)::bigint
    FROM read.rfm_at(kpi_rfm.at) r
    GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2 DESC, 3 DESC
$$;

GRANT SELECT ON read.sale_notes, read.point_notes, read.referral_steps, read.point_values,
    read.program, read.sales, read.point_flows TO points_reader;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON read.sale_notes, read.point_notes,
    read.referral_steps, read.point_values TO points_app;
GRANT SELECT ON read.program, read.sales, read.point_flows TO points_app;

COMMENT ON TABLE read.sale_notes IS
'Purchases and returns with their place and what they earned; member_id NULL: nobody; append-only.';
COMMENT ON COLUMN read.sale_notes.amount IS 'Minor units; a return''s is below 0.';
COMMENT ON COLUMN read.sale_notes.points IS
'Of a purchase the points of each award, also 0, in the order in which clawbacks count them.';
COMMENT ON TABLE read.point_notes IS
'Movements of points, but for what purchases granted; see read.point_flows; append-only.';
COMMENT ON COLUMN read.point_notes.award IS
'Of a clawback: the place, from 0, of the award among those of the order''s purchase.';
COMMENT ON TABLE read.referral_steps IS
'registered, refused, qualified, closed, rewarded, taken_back; append-only.';
COMMENT ON TABLE read.point_values IS 'What a point is worth from when on, minor units.';
COMMENT ON VIEW read.program IS 'The program that this ledger is of.';
COMMENT ON COLUMN read.program.program_id IS 'The program''s id.';
COMMENT ON COLUMN read.program.currency IS 'In whose minor units money is.';
COMMENT ON COLUMN read.program.time_zone IS 'Whose local days, weeks and months count.';
COMMENT ON VIEW read.sales IS 'Purchases and returns, those of nobody included.';
COMMENT ON COLUMN read.sales.member_id IS 'The member''s opaque id; NULL: nobody.';
COMMENT ON COLUMN read.sales.kind IS 'purchase or return.';
COMMENT ON COLUMN read.sales.order_id IS 'The order; of a return the one that comes back.';
COMMENT ON COLUMN read.sales.occurred_at IS 'When it was bought, or came back.';
COMMENT ON COLUMN read.sales.store_id IS 'Where it was bought; NULL: that purchase is not known.';
COMMENT ON COLUMN read.sales.region IS 'The purchase''s region, if it named one.';
COMMENT ON COLUMN read.sales.channel IS 'The purchase''s channel.';
COMMENT ON COLUMN read.sales.amount IS 'Minor units; of a return below 0.';
COMMENT ON COLUMN read.sales.rules IS 'The rules of the purchase''s awards, in order.';
COMMENT ON COLUMN read.sales.points IS 'The points of each of these awards.';
COMMENT ON VIEW read.point_flows IS
'Every movement of points into or out of a member''s hands, also what time alone will do.';
COMMENT ON COLUMN read.point_flows.member_id IS 'The member''s opaque id.';
COMMENT ON COLUMN read.point_flows.effective_at IS 'From when on it holds.';
COMMENT ON COLUMN read.point_flows.flow IS 'granted, redeemed, expired, revoked or adjusted.';
COMMENT ON COLUMN read.point_flows.detail IS
'The rule; of points redeemed what for: discount, donation, gift or voucher.';
COMMENT ON COLUMN read.point_flows.order_id IS 'The order that it belongs to, if any.';
COMMENT ON COLUMN read.point_flows.store_id IS 'Where that order was bought.';
COMMENT ON COLUMN read.point_flows.region IS 'That order''s region.';
COMMENT ON COLUMN read.point_flows.channel IS 'That order''s channel.';
COMMENT ON COLUMN read.point_flows.points IS
'How many; redeemed below 0: restored; adjusted below 0: taken by hand.';
COMMENT ON FUNCTION read.kpi_sale_rows(
    timestamptz, timestamptz, read.kpi_grain, read.kpi_by) IS
'Purchases and returns of [since, until) with their local period and one dimension''s value.';
COMMENT ON FUNCTION read.kpi_flow_rows(
    timestamptz, timestamptz, read.kpi_grain, read.kpi_by) IS
'Movements of points of [since, until) with their local period and one dimension''s value.';
COMMENT ON FUNCTION read.kpi_sales(timestamptz, timestamptz, read.kpi_grain, read.kpi_by) IS
'Participation, active members, average check, frequency.';
COMMENT ON FUNCTION read.kpi_points(timestamptz, timestamptz, read.kpi_grain, read.kpi_by) IS
'Points granted, taken back, spent, expired; earn, burn and redemption rate, breakage.';
COMMENT ON FUNCTION read.kpi_campaigns(timestamptz, timestamptz, read.kpi_grain) IS
'What each rule granted, to how many, on what turnover, and what that costs.';
COMMENT ON FUNCTION read.kpi_retention(timestamptz, timestamptz, read.kpi_grain, read.kpi_by) IS
'Of those who first bought in a period, how many bought in each later one.';
COMMENT ON FUNCTION read.kpi_churn(
    timestamptz, timestamptz, read.kpi_grain, read.kpi_by, integer) IS
'Members who came, came back, or have not bought for so many days.';
COMMENT ON FUNCTION read.kpi_referrals(timestamptz, timestamptz, read.kpi_grain) IS
'Referrals by when they were registered, and how far they have come since.';
COMMENT ON FUNCTION read.kpi_customer_value(timestamptz) IS
'What each member has bought before a moment, and what the models of customer value ask for.';
COMMENT ON FUNCTION read.kpi_rfm(timestamptz) IS 'How many members have which RFM scores.';
COMMENT ON COLUMN read.progress.projection IS 'balances, tiers, segments or kpis.';
