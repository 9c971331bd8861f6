"""Why an input was turned down, in words: a sentence for each stable code of a refusal.

What the refusal's own message adds (numbers, ids) stands on the event, in English; a reader of
English gets that one.
"""

from audit.texts import N_, SOURCE, Texts

REFUSALS = {
    "above_basket_share": N_("points pay only a part of a basket, and this was more"),
    "above_day_limit": N_("more than may be spent in a day"),
    "above_maximum": N_("more than may be given at once"),
    "account_closed": N_("the account is closed and takes no inputs"),
    "account_erased": N_("the member was erased: the account takes no inputs"),
    "account_frozen": N_("the account is frozen: it earns and cannot spend"),
    "account_merged": N_("the account went over into another"),
    "already_expired": N_("the points would have expired before they are given"),
    "already_frozen": N_("the account is frozen already"),
    "already_referred": N_("a member is brought in only once"),
    "already_rewarded": N_("it was rewarded before"),
    "bad_until": N_("the end must be later than the beginning, by ten years at most"),
    "basket_required": N_("the basket must be named: points do not pay for everything"),
    "below_minimum": N_("less than may be spent or given at once"),
    "cycle": N_("the one who brings in was brought in by this member"),
    "day_limit_unknown": N_("it came so late that what was spent on its day is forgotten"),
    "existing_buyer": N_("the member had bought before being brought in"),
    "merge_into_self": N_("an account cannot go over into itself"),
    "more_than_reserved": N_("more than was held"),
    "no_referral": N_("the program has no rewards for bringing in members"),
    "no_tiers": N_("the program has no tiers"),
    "not_a_step": N_("points are spent in steps, and this is none"),
    "not_enough_points": N_("there are not enough points"),
    "not_frozen": N_("the account is not frozen"),
    "not_in_catalogue": N_("the program has no such reward"),
    "order_taken_before": N_("the order was taken before, under another id of the member"),
    "outside_window": N_("it is not open at that moment"),
    "over_limit": N_("more than may be given in a day or a month"),
    "receiver_closed": N_("the receiver's account is closed"),
    "receiver_erased": N_("the receiver's account is erased"),
    "receiver_merged": N_("the receiver's account went over into another"),
    "receiver_unknown": N_("the receiver has no account"),
    "redemption_exists": N_("there was a redemption of this id before"),
    "referral_cycle": N_("the member brought in had brought in this one"),
    "referrer_closed": N_("the account of the one who brings in is closed"),
    "referrer_erased": N_("the account of the one who brings in is erased"),
    "referrer_limit": N_("no more members are rewarded in this period"),
    "reservation_closed": N_("these held points were spent before"),
    "reservation_exists": N_("there was a reservation of this id before"),
    "reservation_lapsed": N_("it came so late that it would have lapsed"),
    "return_window_over": N_("the order can no longer be returned"),
    "returned_more_than_bought": N_("more would come back than was bought"),
    "self_referral": N_("members cannot bring in themselves"),
    "sold_out": N_("none of this reward is left"),
    "too_many_merges": N_("too many accounts went over into this one"),
    "too_many_waiting": N_("too many returns wait for their purchases"),
    "transfer_to_self": N_("points cannot be given to oneself"),
    "transfers_off": N_("members cannot give points to each other"),
    "unknown_activity": N_("the program rewards no such activity"),
    "unknown_charity": N_("the program has no such charity"),
    "unknown_line": N_("the order has no such line"),
    "unknown_reservation": N_("no such points are held any more"),
    "unknown_reward": N_("there is no reward for that order"),
    "unknown_survey": N_("the program has no such survey"),
    "unknown_tier": N_("the program has no such tier"),
}
"""By code, as the end of a sentence."""


def refusal(texts: Texts, code: str, message: str) -> str:
    """Why it was refused. `message`: what the event says."""
    if texts.language == SOURCE or code not in REFUSALS:
        return f"{message} [{code}]"
    return f"{texts.say(REFUSALS[code])} [{code}]"
