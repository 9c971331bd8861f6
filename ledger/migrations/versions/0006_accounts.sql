-- Accounts that are frozen, closed or merged. Before this version an account was open or erased:
-- what was folded already is told which, as folding would have.

ALTER TABLE read.balances
    ADD COLUMN status text NOT NULL DEFAULT 'open',
    ADD COLUMN merged_into text COLLATE "C";

UPDATE read.balances b SET status = 'erased'
FROM ledger.events e
JOIN read.positions p ON p.projection = 'balances' AND p.shard = e.shard
WHERE e.type = 'MemberErased' AND e.position <= p.position AND b.member_id = e.member_id;

ALTER TABLE read.balances ALTER COLUMN status DROP DEFAULT;

CREATE VIEW read.accounts AS
    SELECT b.member_id, b.status, b.merged_into, b.opened_at, b.settled_to AS as_of
    FROM read.balances b;

GRANT SELECT ON read.accounts TO points_reader, points_app;

COMMENT ON COLUMN read.balances.status IS 'open, frozen, closed, merged or erased.';
COMMENT ON COLUMN read.balances.merged_into IS
'The member whose account this one went over into; NULL: it was not merged.';
COMMENT ON VIEW read.accounts IS 'What each account may do, and into which one it was merged.';
COMMENT ON COLUMN read.accounts.member_id IS 'The member''s opaque id.';
COMMENT ON COLUMN read.accounts.status IS
'open; frozen: earns, cannot spend; closed: takes no inputs; merged; erased.';
COMMENT ON COLUMN read.accounts.merged_into IS
'The member whose account this one went over into; NULL: it was not merged.';
COMMENT ON COLUMN read.accounts.opened_at IS 'When its first event occurred.';
COMMENT ON COLUMN read.accounts.as_of IS 'Up to when the account was settled.';
