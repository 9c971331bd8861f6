-- Budgets over all members with the leases that shards hold of them, and promo codes.

-- A budget of the program. undrawn: what no shard holds. Always
-- total = undrawn + sum over the shards of (leased + spent).
CREATE TABLE ledger.budgets (
    id      text PRIMARY KEY,
    unit    text NOT NULL CHECK (unit IN ('points', 'times')),
    total   bigint NOT NULL CHECK (total >= 0),
    undrawn bigint NOT NULL CHECK (undrawn BETWEEN 0 AND total)
) WITH (fillfactor = 20);

-- What a shard may still spend of a budget, and what it has spent. Changed under the shard's head,
-- but for leases that are called back: each append reads it again under the lock of this row. spent
-- can be below 0: an account that was merged into one of another shard gives back there.
CREATE TABLE ledger.budget_leases (
    budget text NOT NULL REFERENCES ledger.budgets (id),
    shard  integer NOT NULL,
    leased bigint NOT NULL DEFAULT 0 CHECK (leased >= 0),
    spent  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (budget, shard)
) WITH (fillfactor = 20);  -- most appends rewrite some: room for new versions in the same page

GRANT SELECT, INSERT, UPDATE ON ledger.budgets, ledger.budget_leases TO points_app;

-- Generated promo codes, by the digest of the code: the code itself is nowhere here. member_id: the
-- only member who may use it, or null. Used and given back by the append of the purchase or return.
CREATE TABLE ledger.promo_codes (
    code      bytea PRIMARY KEY CHECK (octet_length(code) = 16),
    series    text NOT NULL,
    member_id text,
    uses      integer NOT NULL CHECK (uses > 0),
    uses_left integer NOT NULL CHECK (uses_left BETWEEN 0 AND uses)
);

GRANT SELECT, INSERT, UPDATE ON ledger.promo_codes TO points_app;
