"""Checks over several keys of a program: what the types alone cannot say.

Each refusal has a stable code and stands at the key that a person would change. Earn rules are in
`check_rules` and `check_activities`.
"""

import re
import zoneinfo
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from ledger.core.calendar import to_instant
from ledger.core.program import form
from ledger.core.program.check_activities import check_activities
from ledger.core.program.check_budgets import check_budgets
from ledger.core.program.check_promo_codes import check_promo_codes
from ledger.core.program.check_rules import check_bounds, check_rules, check_tier_names
from ledger.core.program.conditions import NO_TIER
from ledger.core.program.duration import Duration
from ledger.core.program.judge import Judge
from schemas.routing import TYPE_NAMES

YEAR_MIN, YEAR_MAX = 1970, 2999
"""The years that a program may name: outside them a date is a slip, and calendar arithmetic over
the longest durations stays within what can be written."""

ROLLING_DAYS_MAX = 3 * 366
"""Longest rolling window with its grace: what an account keeps of its amounts is bounded."""

_GRACE = ("tiers", "downgrade", "grace")

_LIKE_A_TYPE = re.compile(r"\.v\d+$")
"""How the type of an input ends."""

_LOCAL_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Names in time zone databases that mean something else on each machine."""


def check(program: form.Program, judge: Judge) -> None:
    """Tell the judge every problem of a program that has the right shape."""
    _check_zone(program, judge)
    _check_year(program.effective_from, judge, "effective_from")
    _check_timing(program.activation, program.expiry, judge)
    judge.unique([rule.id for rule in program.earn], "earn")
    check_rules(program, judge)
    check_activities(program, judge)
    for i, rule in enumerate(program.earn):
        _check_validity(rule.valid, judge, "earn", i, "valid")
        _check_timing(rule.activation, rule.expiry, judge, "earn", i)
    _check_surveys(program.surveys, judge)
    check_budgets(program, judge)
    check_promo_codes(program, judge)
    for i, series in enumerate(program.promo_codes):
        _check_validity(series.valid, judge, "promo_codes", i, "valid")
    if program.tiers is not None:
        _check_tiers(program.tiers, judge)
    if program.referral is not None:
        _check_referral(program.referral, judge)
    _check_returns(program, judge)
    _check_segments(program, judge)
    _check_accounts(program, judge)
    _check_catalogue(program, judge)


def _check_zone(program: form.Program, judge: Judge) -> None:
    key = program.time_zone
    if key in _LOCAL_ZONES or key not in zoneinfo.available_timezones():
        judge.say(
            "unknown_time_zone",
            f"{key!r} is not a time zone; write a name of the IANA database, as in Europe/Berlin",
            "time_zone",
        )


def _check_year(moment: datetime, judge: Judge, *path: str | int) -> None:
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        message = f"the year must be from {YEAR_MIN} to {YEAR_MAX}"
        judge.say("bad_moment", message, *path)


def _check_validity(valid: form.Validity | None, judge: Judge, *path: str | int) -> None:
    if valid is None:
        return
    for key, moment in (("from", valid.start), ("to", valid.end)):
        if moment is not None:
            _check_year(moment, judge, *path, key)
    start, end = valid.start, valid.end
    if start is not None and end is not None and to_instant(start) >= to_instant(end):
        judge.say(
            "empty_validity",
            "`from` is not before `to`, so this never holds; validity is [from, to)",
            *path,
        )


def _check_timing(
    activation: form.Activation | None,
    expiry: form.Expiry | None,
    judge: Judge,
    *path: str | int,
) -> None:
    if isinstance(activation, form.ActivateAfter):
        given = (("after", activation.after), ("on", activation.on))
        paired = (activation.on is None) == (activation.within is None)
        one = judge.exactly_one("activation_kinds", "an activation", given, *path, "activation")
        if one and not paired:
            message = "`on: EVENT` and `within: P14D` belong together"
            judge.say("activation_kinds", message, *path, "activation")
        _check_length(activation.within, judge, *path, "activation", "within")
        on = activation.on
        if on is not None and _LIKE_A_TYPE.search(on) and on not in TYPE_NAMES.values():
            message = f"there is no input of the type {on}; an activity's name has no version"
            judge.say("unknown_event", message, *path, "activation", "on")
    if isinstance(expiry, form.ExpireBy):
        if expiry.after_inactivity is not None:
            if expiry.after is not None or expiry.end_of is not None:
                message = "after_inactivity stands alone, without after and end_of"
                judge.say("expiry_kinds", message, *path, "expiry")
            _check_length(expiry.after_inactivity, judge, *path, "expiry", "after_inactivity")
        elif expiry.end_of is None:
            if expiry.after is None:
                message = "an expiry is never, {after: P12M} or {end_of: year, after: P12M}"
                judge.say("expiry_kinds", message, *path, "expiry")
            else:
                _check_length(expiry.after, judge, *path, "expiry", "after")


def _check_accounts(program: form.Program, judge: Judge) -> None:
    if program.closing is not None:
        _check_length(program.closing.notice, judge, "closing", "notice")
    transfers = program.transfers
    if transfers is None:
        return
    for key in ("at_most", "per_day", "per_month"):
        most = getattr(transfers, key)
        if most is not None and most < transfers.minimum:
            message = f"{key} is below the minimum of {transfers.minimum}: nothing can be given"
            judge.say("empty_condition", message, "transfers", key)


def _check_length(duration: Duration | None, judge: Judge, *path: str | int) -> None:
    if duration is not None and not duration:
        judge.say("empty_duration", "this lasts no time at all; make it longer", *path)


def _check_surveys(surveys: Sequence[form.Survey], judge: Judge) -> None:
    judge.unique([survey.id for survey in surveys], "surveys")
    for i, survey in enumerate(surveys):
        at = ("surveys", i)
        if survey.award.fixed is None or survey.award != form.Award(fixed=survey.award.fixed):
            message = "a survey's award is {fixed: POINTS}: there is no amount to compute from"
            judge.say("award_kinds", message, *at, "award")
        _check_validity(survey.valid, judge, *at, "valid")
        _check_timing(survey.activation, survey.expiry, judge, *at)


def _check_tiers(tiers: form.Tiers, judge: Judge) -> None:
    by = tiers.qualify_by
    measures = (
        ("amount_spent", by.amount_spent),
        ("points_earned", by.points_earned),
        ("purchases", by.purchases),
    )
    at = ("tiers", "qualify_by")
    if judge.exactly_one("qualify_kinds", "qualify_by", measures, *at):
        for name, window in measures:
            if window is not None:
                given = (("window", window.window), ("rolling", window.rolling))
                judge.exactly_one("window_kinds", "the window", given, *at, name)
                _check_length(window.rolling, judge, *at, name, "rolling")
                _check_rolling(window, tiers.downgrade, judge, *at, name)
    ids = [level.id for level in tiers.levels]
    for i, level in enumerate(tiers.levels):
        if level.id == NO_TIER:
            message = "the id none means that a member has no tier; choose another"
            judge.say("reserved_id", message, "tiers", "levels", i, "id")
        elif level.id in ids[:i]:
            message = f"the id {level.id} is taken by a lower level"
            judge.say("duplicate_id", message, "tiers", "levels", i, "id")
    for i, (lower, upper) in enumerate(pairwise(tiers.levels), 1):
        if upper.at_least <= lower.at_least:
            judge.say(
                "levels_not_rising",
                f"{upper.id} must need more than {lower.id} before it ({lower.at_least})",
                *("tiers", "levels", i, "at_least"),
            )


def _check_rolling(
    window: form.QualifyWindow, downgrade: form.Downgrade, judge: Judge, *path: str | int
) -> None:
    if window.rolling is None:
        return
    grace, days = downgrade.grace, 0
    for length, where in ((window.rolling, (*path, "rolling")), (grace, _GRACE)):
        if length is not None:
            days += 366 * (length.months // 12) + 31 * (length.months % 12) + length.days
            if length.seconds:
                message = "a rolling window and its grace count whole days; write for instance P30D"
                judge.say("not_whole_days", message, *where)
    if days > ROLLING_DAYS_MAX:
        message = "a rolling window and its grace may be three years long together; shorten them"
        judge.say("rolling_too_long", message, *path, "rolling")
    if downgrade.to == "one_down" and not grace:
        message = "over a rolling window one_down falls at the end of each grace; give a grace"
        judge.say("grace_missing", message, "tiers", "downgrade")


def _check_referral(referral: form.Referral, judge: Judge) -> None:
    qualifies = referral.qualifies
    given = (("first_purchase", qualifies.first_purchase), ("purchase", qualifies.purchase))
    judge.exactly_one("qualify_kinds", "qualifies", given, "referral", "qualifies")
    for name, needed in given:
        if needed is not None:
            _check_length(needed.within, judge, "referral", "qualifies", name, "within")
    rewards = (("referrer", referral.referrer), ("referee", referral.referee))
    if not any(reward for _, reward in rewards):
        judge.say(
            "reward_kinds", "the referral rewards nobody; give one or take it out", "referral"
        )
    for name, reward in rewards:
        if reward is None:
            continue
        if reward.fixed is None and reward.share is None:
            message = "a reward is {fixed: POINTS}, a share of the referee's purchases, or both"
            judge.say("reward_kinds", message, "referral", name)
        if name == "referee" and reward.share is not None:
            message = "only the referrer can get a share of the referee's purchases"
            judge.say("reward_kinds", message, "referral", name, "share")
        _check_timing(reward.activation, reward.expiry, judge, "referral", name)
    _check_validity(referral.valid, judge, "referral", "valid")


def _check_returns(program: form.Program, judge: Judge) -> None:
    returns = program.returns
    if returns.debt_limit is not None and returns.policy != "debt":
        message = f"the policy {returns.policy} makes no debt; take the limit out"
        judge.say("debt_limit_unused", message, "returns", "debt_limit")
    _check_length(returns.window, judge, "returns", "window")
    _check_length(program.redemption.reservation_ttl, judge, "redemption", "reservation_ttl")


def _check_catalogue(program: form.Program, judge: Judge) -> None:
    judge.unique([charity.id for charity in program.charities], "charities")
    judge.unique([reward.id for reward in program.rewards], "rewards")
    for section in ("charities", "rewards"):
        for i, each in enumerate(getattr(program, section)):
            _check_validity(each.valid, judge, section, i, "valid")


def _check_segments(program: form.Program, judge: Judge) -> None:
    judge.unique([segment.id for segment in program.segments], "segments")
    for i, segment in enumerate(program.segments):
        at, when = ("segments", i, "when"), segment.when
        if when == form.SegmentWhen():
            judge.say("empty_condition", "the segment has no condition", *at)
        if when.rfm is not None and when.rfm == form.Rfm():
            judge.say("empty_condition", "rfm names no score", *at, "rfm")
        for key in ("recency_days", "frequency", "monetary", "balance"):
            check_bounds(getattr(when, key), judge, *at, key)
        check_tier_names(when.tier, judge, *at, "tier")
