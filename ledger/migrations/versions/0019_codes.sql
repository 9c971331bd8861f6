-- Codes: those bound to a member are found by the member, not by reading all of a million.
CREATE INDEX promo_codes_of_member ON ledger.promo_codes (member_id)
    WHERE member_id IS NOT NULL;
