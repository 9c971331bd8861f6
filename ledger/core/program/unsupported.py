"""What a program may say by its form and the engine does not do yet: refused, never half obeyed.

When the engine learns one of these, its lines here go.
"""

from ledger.core.program import form
from ledger.core.program.judge import Judge


def check_supported(program: form.Program, judge: Judge) -> None:
    """Tell the judge each use of what is not supported yet."""
    _timing(program.activation, program.expiry, judge)
    for i, rule in enumerate(program.earn):
        at = ("earn", i)
        _timing(rule.activation, rule.expiry, judge, *at)
    for i, survey in enumerate(program.surveys):
        _timing(survey.activation, survey.expiry, judge, "surveys", i)
    if program.tiers is not None:
        _tiers(program.tiers, judge)
    if program.referral is not None:
        _referral(program.referral, judge)


def _timing(
    activation: form.Activation | None,
    expiry: form.Expiry | None,
    judge: Judge,
    *path: str | int,
) -> None:
    if isinstance(activation, form.ActivateAfter) and activation.on is not None:
        judge.unsupported("activation by an event", *path, "activation", "on")
    if isinstance(expiry, form.ExpireBy) and expiry.after_inactivity is not None:
        judge.unsupported("expiry after inactivity", *path, "expiry", "after_inactivity")


def _tiers(tiers: form.Tiers, judge: Judge) -> None:
    by = tiers.qualify_by
    for name in ("amount_spent", "points_earned", "purchases"):
        window: form.QualifyWindow | None = getattr(by, name)
        if window is not None and window.rolling is not None:
            judge.unsupported("a rolling window", "tiers", "qualify_by", name, "rolling")
    for i, level in enumerate(tiers.levels):
        if level.welcome is not None:
            judge.unsupported("a welcome award", "tiers", "levels", i, "welcome")


def _referral(referral: form.Referral, judge: Judge) -> None:
    for name, reward in (("referrer", referral.referrer), ("referee", referral.referee)):
        if reward is not None and reward.share is not None:
            judge.unsupported("a share of purchases", "referral", name, "share")
    if referral.per_referrer is not None:
        judge.unsupported("a limit per referrer", "referral", "per_referrer")
