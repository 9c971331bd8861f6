-- The requests under which promo codes were made by HTTP, for ever: a row is stored with its codes, in
-- one transaction, so that a key makes codes once. key: hash of client and Idempotency-Key; asked:
-- hash of what was to be made.
CREATE TABLE api.code_batches (
    key     bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    asked   bytea NOT NULL CHECK (octet_length(asked) = 32),
    made_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT ON api.code_batches TO points_app;

COMMENT ON TABLE api.code_batches IS 'The Idempotency-Keys under which promo codes were made.';
