-- Access to the HTTP API (docs/access.md): keys, the audit trail, proposals that wait for a second
-- person. Nothing here decides about points; the log of `ledger` does not depend on it.
CREATE SCHEMA api;
GRANT USAGE ON SCHEMA api TO points_app, points_auditor;

CREATE TABLE api.keys (
    id                  text COLLATE "C" PRIMARY KEY,
    client              text COLLATE "C" NOT NULL CHECK (client ~ '^[A-Za-z0-9._-]{1,64}$'),
    person              text COLLATE "C",
    secret_hash         bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    roles               text[] NOT NULL,
    scopes              text[] NOT NULL,
    requests_per_second integer CHECK (requests_per_second BETWEEN 1 AND 1000000),
    created_at          timestamptz NOT NULL DEFAULT now(),
    created_by          text NOT NULL,
    expires_at          timestamptz,
    revoked_at          timestamptz,
    revoked_by          text,
    rotated_to          text COLLATE "C" REFERENCES api.keys,
    last_used_at        timestamptz
);
CREATE INDEX keys_client ON api.keys (client);
GRANT SELECT, INSERT ON api.keys TO points_app;
-- What a key may do, and its secret, are fixed when it is made.
GRANT UPDATE (expires_at, revoked_at, revoked_by, rotated_to, last_used_at) ON api.keys
    TO points_app;
GRANT SELECT (id, client, person, roles, scopes, requests_per_second, created_at, created_by,
    expires_at, revoked_at, revoked_by, rotated_to, last_used_at) ON api.keys TO points_auditor;

CREATE TABLE api.audit_trail (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('refused', 'begun', 'ended', 'command')),
    who            text,
    person         text,
    address        text,
    operation      text,
    method         text,
    path           text,
    correlation_id text,
    status         smallint,
    code           text,
    count          integer NOT NULL DEFAULT 1 CHECK (count >= 1)
);
CREATE INDEX audit_trail_at ON api.audit_trail USING brin (at);
CREATE INDEX audit_trail_who ON api.audit_trail (who, id) WHERE who IS NOT NULL;
-- Whoever serves the API adds to the trail and cannot change what is in it.
GRANT SELECT, INSERT ON api.audit_trail TO points_app;
GRANT SELECT ON api.audit_trail TO points_auditor;

CREATE TABLE api.proposals (
    id              text COLLATE "C" PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('adjustment', 'program')),
    subject         text COLLATE "C" NOT NULL,
    content         bytea NOT NULL,
    timed           boolean NOT NULL,
    client          text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    content_hash    bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    proposed_at     timestamptz NOT NULL DEFAULT now(),
    proposed_by     text NOT NULL,
    proposed_person text,
    expires_at      timestamptz NOT NULL,
    status          text NOT NULL DEFAULT 'open'
                    CHECK (status IN ('open', 'approved', 'rejected', 'done', 'failed')),
    decided_at      timestamptz,
    decided_by      text,
    decided_person  text,
    reason          text,
    ended_at        timestamptz,
    result          jsonb,
    UNIQUE (client, idempotency_key),
    -- The two-person rule, once more: whatever the software does, this is not stored.
    CHECK (status = 'open' OR (decided_person IS NOT NULL
        AND decided_person IS DISTINCT FROM proposed_person))
);
CREATE INDEX proposals_open ON api.proposals (proposed_at) WHERE status IN ('open', 'approved');
GRANT SELECT, INSERT ON api.proposals TO points_app;
GRANT UPDATE (status, decided_at, decided_by, decided_person, reason, ended_at, result)
    ON api.proposals TO points_app;
GRANT SELECT ON api.proposals TO points_auditor;

-- A proposal goes forward only: open, then rejected or approved, then done or failed.
CREATE FUNCTION api.proposal_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (('open', 'approved'), ('open', 'rejected'),
                                        ('approved', 'done'), ('approved', 'failed')) THEN
        RAISE EXCEPTION 'a proposal does not go from % to %', OLD.status, NEW.status;
    END IF;
    IF OLD.status = 'approved' AND (NEW.decided_person, NEW.decided_by, NEW.decided_at)
        IS DISTINCT FROM (OLD.decided_person, OLD.decided_by, OLD.decided_at) THEN
        RAISE EXCEPTION 'who approved a proposal does not change';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER proposal_forward BEFORE UPDATE ON api.proposals
    FOR EACH ROW EXECUTE FUNCTION api.proposal_forward();

COMMENT ON TABLE api.keys IS 'API keys; of each secret only the SHA-256 is kept.';
COMMENT ON COLUMN api.keys.client IS
'The system that calls: the same after a rotation; idempotency keys are known under it.';
COMMENT ON COLUMN api.keys.person IS 'Whose key it is, for the two-person rule; NULL: a machine''s.';
COMMENT ON TABLE api.audit_trail IS
'Refused calls, privileged calls (when they begin and how they end), commands about access.';
COMMENT ON COLUMN api.audit_trail.count IS
'How many calls alike this row stands for, besides the one that was written when it came.';
COMMENT ON TABLE api.proposals IS 'Changes that wait, or waited, for a second person.';
COMMENT ON COLUMN api.proposals.content IS
'An adjustment: the input as it goes through the door; a program: its canonical content.';
