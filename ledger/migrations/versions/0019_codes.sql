-- Codes: those bound to a member are found by the member, not by reading all of a million.
CREATE INDEX promo_codes_of_member ON ledger.promo_codes (member_id)
    WHERE member_id IS NOT NULL;

-- The code that a member hands on: who names it when he joins was brought in by its member. Made by
-- chance, so it says nothing of the member; one for each. Not a part of the log: a referral is
-- recorded with its referrer, and stands whatever happens to the code.
CREATE TABLE api.referral_codes (
    code       text PRIMARY KEY CHECK (code ~ '^[2-9A-HJ-NP-Z]{10}$'),
    member_id  text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL
);
GRANT SELECT, INSERT ON api.referral_codes TO points_app;

COMMENT ON TABLE api.referral_codes IS 'The code that each member hands on to bring others in.';
