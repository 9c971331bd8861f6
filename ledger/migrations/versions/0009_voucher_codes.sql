-- A voucher code is that of one reward: a file loaded for two would be handed out twice. Fails, and
-- names the code, where that has happened: delete the row that nobody was given, if it is the last
-- of its reward, and lower ledger.reward_stock.loaded by one.
ALTER TABLE ledger.voucher_codes
    DROP CONSTRAINT voucher_codes_reward_id_code_key,
    ADD CONSTRAINT voucher_codes_code_key UNIQUE (code);
