-- The role of auditors: SELECT on the log, on what must agree with it, and on the read models.
-- Nothing personal (profiles, the keys of their hashes, what a dead letter said), no code that is
-- worth something (vouchers, promo codes), and nothing to be changed.
DO $$
BEGIN
    CREATE ROLE points_auditor NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server has it
END
$$;
DO $$
BEGIN
    EXECUTE format('GRANT points_auditor TO %I', current_user);
EXCEPTION
    WHEN invalid_grant_operation THEN NULL;  -- we are that role's superior already
END
$$;

GRANT USAGE ON SCHEMA ledger, read TO points_auditor;
GRANT SELECT ON ledger.ledger, ledger.schema_version, ledger.heads, ledger.events, ledger.inputs,
    ledger.waiting, ledger.due, ledger.snapshots, ledger.effects_cursors, ledger.stream_positions,
    ledger.feed, ledger.outcome_counts, ledger.reward_stock, ledger.budgets, ledger.budget_leases,
    ledger.command_clashes TO points_auditor;
GRANT SELECT (id, source, partition, "offset", record_timestamp, type, code, path, recorded_at,
    status, attempts, closed_at, discarded_by, discard_reason) ON ledger.dead_letters
    TO points_auditor;
GRANT SELECT (reward_id, number, shard, position) ON ledger.voucher_codes TO points_auditor;

-- The read models that there are, and those that later versions add.
GRANT SELECT ON ALL TABLES IN SCHEMA read TO points_auditor;
ALTER DEFAULT PRIVILEGES IN SCHEMA read GRANT SELECT ON TABLES TO points_auditor;
