-- A voucher code is that of one reward: a file loaded for two would be handed out twice. Fails, and
-- names the code, where that has happened: delete the row that nobody was given, if it is the last
-- of its reward, and lower ledger.reward_stock.loaded by one.
ALTER TABLE ledger.voucher_codes
    DROP CONSTRAINT voucher_codes_reward_id_code_key,
    ADD CONSTRAINT voucher_codes_code_key UNIQUE (code);

-- Commands of one source and id that took effect more than once: under several members, or as
-- commands of several types. A key is unique within its shard, member and type alone (docs/domain.md,
-- invariant 5). Reads the whole log: for a look now and then.
CREATE VIEW ledger.command_clashes AS
SELECT event -> 'cause' ->> 0 AS source, event -> 'cause' ->> 1 AS id,
    array_agg(coalesce(event ->> 'addressed', member_id) ORDER BY shard, position) AS members,
    array_agg(shard || ':' || position ORDER BY shard, position) AS places
FROM (
    SELECT shard, position, member_id, convert_from(payload, 'UTF8')::jsonb AS event
    FROM ledger.events
    WHERE type IN ('PointsReserved', 'ReservationConfirmed', 'ReservationCancelled',
        'PointsRedeemed', 'PointsAdjusted', 'PointsDonated', 'RewardClaimed', 'PointsSent',
        'TierOverridden',
        'AccountFrozen', 'AccountUnfrozen', 'AccountClosed', 'AccountMerged', 'InputRefused')
) AS decided
WHERE event ->> 'type' <> 'InputRefused' OR starts_with(event ->> 'input_type', 'command.')
GROUP BY 1, 2 HAVING count(*) > 1;
GRANT SELECT ON ledger.command_clashes TO points_app;
