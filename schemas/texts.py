"""The words of the contracts: a title for each event type, a sentence for each field.

Kept beside the types and not in them, so that the types stay readable. The generated JSON Schema
and AsyncAPI files carry these texts; a test fails when a field has none or a text has no field.
"""

TITLES: dict[str, str] = {
    "purchase.completed.v1": "A purchase was paid",
    "purchase.returned.v1": "Goods came back",
    "referral.registered.v1": "A member was brought in by another",
    "survey.completed.v1": "A survey was completed",
    "activity.completed.v1": "A member did something worth points",
    "member.enrolled.v1": "A member joined",
    "member.updated.v1": "A member's profile changed",
    "member.erased.v1": "A member asked to be forgotten",
    "effect.reward.v1": "A reward from a decision on another account",
    "effect.revoke.v1": "A reward is taken back",
    "command.reserve.v1": "Hold points for a redemption",
    "command.confirm.v1": "Spend a reservation",
    "command.cancel.v1": "Release a reservation",
    "command.freeze.v1": "An account may no longer spend",
    "command.unfreeze.v1": "An account may spend again",
    "command.close.v1": "An account ends",
    "command.transfer.v1": "Give points to another member",
    "command.merge.v1": "An account goes over into another",
    "command.redeem.v1": "Spend points at once",
    "command.adjust.v1": "Give or take points by hand",
    "command.donate.v1": "Give points to a charity",
    "command.claim.v1": "Take a reward of the catalogue",
    "command.outcome.v1": "A command has ended",
    "command.tier.v1": "Set a member's tier by hand",
    "feed.balance.v1": "A member's balances have changed",
    "feed.tier.v1": "A member's tier or progress has changed",
    "feed.segments.v1": "A member's segments have changed",
    "feed.ledger_event.v1": "The log has grown",
}
"""One title per CloudEvents `type`."""

INTERNAL_PREFIXES = ("effect.",)
"""Types that the ledger writes: never published by others."""

FIELDS: dict[str, str] = {
    # the envelope
    "type": "What happened: the CloudEvents type.",
    "specversion": "Version of CloudEvents.",
    "id": "The producer's id of this event; unique within its source.",
    "source": "Who produced the event, for instance /pos/store-12.",
    "time": "When it happened in the world: RFC 3339 with an offset, from 1970 to 2200.",
    "datacontenttype": "Media type of data.",
    "subject": "The member_id, and the record's key.",
    "data": "What happened.",
    "PurchaseCompleted.subject": (
        "The member_id, and the record's key. Without it the purchase is anonymous, counted for"
        " participation only, and the key is the order_id."
    ),
    "ReferralRegistered.subject": "The member_id of the referee, and the record's key.",
    "RewardGranted.id": "shard:position:n of the decision that caused it.",
    "RewardRevoked.id": "shard:position:n of the decision that caused it.",
    # purchases
    "PurchaseData.order_id": (
        "Unique over all stores of the program (who numbers per store puts the store in front)."
        " The same order again is a duplicate; other content under it is refused."
    ),
    "PurchaseData.store_id": "The store, till group or shop where it was sold.",
    "PurchaseData.channel": "How it was sold: store, web, app, phone and so on.",
    "PurchaseData.currency": "The program's currency.",
    "PurchaseData.lines": "What was bought, in the order of the receipt.",
    "PurchaseData.region": "The store's region, when rules ask for it.",
    "PurchaseData.payment_type": "How it was paid: card, cash and so on.",
    "PurchaseData.partner_id": "The partner that sold it, in a coalition program.",
    "PurchaseData.redemption_id": "The reservation whose points paid a part of it.",
    "PurchaseData.promo_codes": "Promo codes that the member gave.",
    "PurchaseLine.line_id": "Unique within the order; returns name it.",
    "PurchaseLine.sku": "The article.",
    "PurchaseLine.amount": (
        "What the customer paid for the line in money, in minor units (12990 for 129.90): after"
        " discounts, tax included, without what points paid."
    ),
    "PurchaseLine.quantity": "Pieces or kilograms, at most three places; 1 when left out.",
    "PurchaseLine.category": "The article's category, when rules ask for it.",
    "PurchaseLine.brand": "The article's brand, when rules ask for it.",
    "ReturnData.order_id": "The order that the goods came from.",
    "ReturnData.return_id": "The return's own number; the same one again is a duplicate.",
    "ReturnData.lines": "What came back; left out: all that is left of the order.",
    "ReturnedLine.line_id": "The order's line.",
    "ReturnedLine.amount": "Money given back for it, in minor units; 0 for a line that cost 0.",
    # referrals, surveys, activities
    "ReferralData.referrer_id": "The member who brought the subject in.",
    "ReferralData.code": "The referral code that was used.",
    "SurveyData.survey_id": "The survey, as the program names it.",
    "SurveyData.completion_id": "This completion; the same one again is a duplicate.",
    "SurveyData.score": "The score given, for instance 0 to 10; the answers do not come here.",
    "ActivityData.activity": "What was done, as the program names it: review, visit, app-install.",
    "ActivityData.reference": "What it was done to; counts once per activity and reference.",
    "ActivityData.store_id": "Where it was done.",
    # members
    "MemberData.profile": "What the CRM tells of the member; kept in an erasable table only.",
    "Profile.birthday": "Date of birth; null forgets it, left out keeps it.",
    "Profile.region": "Region of residence; null forgets it, left out keeps it.",
    "Profile.tags": "All tags of the member; null forgets them, left out keeps them.",
    "Profile.consents": "All consents given; null forgets them, left out keeps them.",
    "ErasureData.reason": "For the audit; holds no personal data.",
    # effects
    "RewardEffectData.kind": "What the reward is for.",
    "RewardEffectData.referee_id": "The member whose purchase qualified.",
    "RewardEffectData.order_id": "The purchase that qualified.",
    "RewardEffectData.points": "The reward.",
    "RewardEffectData.program_version": "The program version that decided it.",
    "RewardEffectData.share": "How many of the points are a share of the purchase.",
    "RevokeEffectData.kind": "What the reward was for.",
    "RevokeEffectData.referee_id": "The member whose purchase no longer qualifies.",
    "RevokeEffectData.order_id": "The purchase that no longer qualifies.",
    "RevokeEffectData.points": "How many points are taken back; left out: all of the reward.",
    # commands
    "ReserveData.reservation_id": "The client's number of the reservation.",
    "ReserveData.points": "How many points to hold.",
    "ReserveData.ttl_seconds": "Seconds until it lapses; left out: the program's reservation_ttl.",
    "ConfirmData.reservation_id": "The reservation to spend.",
    "ConfirmData.points": "How many of its points to spend; left out: all.",
    "ConfirmData.order_id": "The purchase that the points pay for.",
    "CancelData.reservation_id": "The reservation to release.",
    "StandingData.actor": "Who decided it: the id of an employee or a system.",
    "StandingData.reason": "Why, for the audit; no personal data.",
    "TransferData.to": "The member who gets the points.",
    "TransferData.points": "How many points to give.",
    "MergeData.into": "The member whose account stays.",
    "MergeData.actor": "Who decided it: the id of an employee or a system.",
    "MergeData.reason": "Why, for the audit; no personal data.",
    "ReserveData.basket": (
        "What the points are to pay for; needed where the program limits the share of a basket or"
        " excludes categories."
    ),
    "BasketLine.amount": "What the line costs before points pay for it, in minor units.",
    "BasketLine.category": "The article's category.",
    "RedeemData.redemption_id": "The client's number of the redemption; a purchase names it.",
    "RedeemData.points": "How many points to spend.",
    "RedeemData.order_id": "The purchase that the points pay for.",
    "RedeemData.basket": (
        "What the points are to pay for; needed where the program limits the share of a basket or"
        " excludes categories."
    ),
    "AdjustData.points": "How many points to give, or below 0 to take; not 0.",
    "AdjustData.reason": "Why; for the audit, without personal data.",
    "AdjustData.actor": "Who did it: an opaque id, no name.",
    "AdjustData.expires_at": "When given points expire; left out: by the program's expiry.",
    "AdjustData.allow_debt": "Whether points that are not there may be taken; false when left out.",
    "DonateData.charity_id": "The charity, as the program names it.",
    "DonateData.points": "How many points to give.",
    "ClaimData.reward_id": "The reward, as the program's catalogue names it.",
    # what is told of commands
    "CommandOutcome.id": (
        "commands:partition:offset of the command's record, with :retried after it once a dead"
        " letter was retried. The same outcome can come more than once, under the same id."
    ),
    "CommandOutcome.source": "points-ledger.",
    "CommandOutcome.subject": "The command's member_id; left out when it could not be read.",
    "CommandOutcome.time": "The command's own time; left out when it could not be read.",
    "CommandOutcome.data": "How it ended.",
    "CommandOutcomeData.outcome": (
        "applied, refused (by the program, for good), duplicate (it was taken before: position is"
        " that of the first), or dead_lettered (not understood or impossible)."
    ),
    "CommandOutcomeData.record": "Where the command lies in the topic commands.",
    "CommandOutcomeData.command_type": "The command's type; left out when it could not be read.",
    "CommandOutcomeData.command_source": "The command's source.",
    "CommandOutcomeData.command_id": "The command's id.",
    "CommandOutcomeData.code": "Why it was refused or dead-lettered: a stable code.",
    "CommandOutcomeData.message": "The same as a sentence.",
    "CommandOutcomeData.shard": "The shard of the decision.",
    "CommandOutcomeData.position": "The position of the decision in its shard's log.",
    "CommandOutcomeData.balance": "The member's points right after it; for applied and refused.",
    "CommandOutcomeData.voucher_code": "The code that a claimed voucher hands out.",
    # change feeds
    **{
        f"{struct}.{field}": text
        for struct in ("BalanceChanged", "TierChanged", "SegmentsChanged", "LedgerEventRecorded")
        for field, text in {
            "type": "What the record tells: the CloudEvents type.",
            "specversion": "Always 1.0.",
            "id": "Topic, member and version; of an event of the log shard:position.",
            "source": "points-ledger/ and the ledger's id.",
            "subject": "The member_id, which is the record's key, too.",
            "time": "When the state was read; of an event of the log its occurred_at.",
            "data": "The state, or the event.",
        }.items()
    },
    **{
        f"{struct}.version": "Rises for one key: drop a record that is not above the last one."
        for struct in ("BalanceState", "TierState", "SegmentsState", "LoggedEvent")
    },
    **{
        f"{struct}.{field}": text
        for struct in ("BalanceState", "BalanceStep")
        for field, text in {
            "available": "Spendable points net of debt; below 0 is debt.",
            "pending": "Granted, not yet spendable.",
            "reserved": "Held by reservations.",
            "expired": "Points that expired unspent, in total.",
            "granted": "Points granted by awards, in total.",
            "debt": "Clawbacks that found no points.",
        }.items()
    },
    "BalanceState.opened_at": "When the account opened.",
    "BalanceState.as_of": "The moment of these figures: up to when the account was settled.",
    "BalanceState.status": "open, frozen, closed, merged or erased.",
    "BalanceState.merged_into": "The member whose account it went over into.",
    "BalanceState.ahead": "What time alone will change, rising; each step is whole.",
    "BalanceStep.at": "From when on the step's figures hold.",
    "TierState.as_of": "The moment of the progress.",
    "TierState.spans": "The tier at as_of and those that time alone will bring.",
    "TierState.level": "0 for no tier, then 1, 2, 3 in rising order, at as_of.",
    "TierState.measure": "What counts: amount_spent, points_earned or purchases.",
    "TierState.period_from": "Start of the period that counts.",
    "TierState.period_to": "Its end (exclusive).",
    "TierState.reached": "Of the measure, within that period.",
    "TierState.next_tier": "The next tier; null at the top.",
    "TierState.next_at_least": "What it asks for.",
    "TierState.missing": "What is still missing.",
    "TierSpan.tier": "The level's id, or none.",
    "TierSpan.since": "Since when, inclusive.",
    "TierSpan.until": "Until when, exclusive; null is for good.",
    "SegmentsState.spans": "All memberships: past, present and to come if nothing more happens.",
    "SegmentSpan.segment": "The segment's id.",
    "SegmentSpan.entered_at": "Since when, inclusive.",
    "SegmentSpan.left_at": "Until when, exclusive; null is for good.",
    "LoggedEvent.shard": "The shard; -1 is the system's.",
    "LoggedEvent.position": "The event's position in the shard's log.",
    "LoggedEvent.recorded_at": "When it was recorded.",
    "LoggedEvent.hash": "Its hash in the chain, in hexadecimal digits.",
    "LoggedEvent.event": "The event itself: schemas/json/log.json.",
    "CommandRecord.partition": "The partition, as Kafka told the producer.",
    "CommandRecord.offset": "The offset, as Kafka told the producer.",
    "BalanceAfter.available": "Spendable now; below 0 for a debt.",
    "BalanceAfter.pending": "Granted, not yet spendable.",
    "BalanceAfter.reserved": "Held by reservations.",
    "TierData.tier": "The tier: a level of the program in force, or none.",
    "TierData.until": "Until when it holds, exclusive: later than time, by ten years at most.",
    "TierData.actor": "Who decided it: an opaque id.",
    "TierData.reason": "Why; no personal data.",
}
"""A sentence per field, by `Struct.field`, or by `field` alone for the envelope."""
