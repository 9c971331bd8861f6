"""Deciding on a completed survey: one reward per survey and member."""

from ledger.core.context import Context, Refused
from ledger.core.postings import Draft
from ledger.core.referrals import within
from ledger.core.rules import grant
from ledger.core.rules.budgets import facts_kept, pay_one, rooms_of
from ledger.core.tiers import points_counted
from ledger.core.welcome import with_welcomes
from schemas.decisions import Award, SurveyRewarded
from schemas.inputs import SurveyCompleted


def decide_survey(context: Context, event: SurveyCompleted) -> SurveyRewarded:
    """The reward of a survey. Raises Refused."""
    account, data = context.account, event.data
    survey = context.program.surveys.get(data.survey_id)
    if survey is None:
        raise Refused("unknown_survey", f"the program in force has no survey {data.survey_id!r}")
    if data.survey_id in account.surveys:
        raise Refused("already_rewarded", f"survey {data.survey_id!r} was rewarded before")
    if not within(survey.valid, context.at):
        raise Refused("outside_window", f"survey {data.survey_id!r} is not open at this moment")
    first_lot = account.holdings.next_lot
    award = grant(
        context.program,
        rule=survey.id,
        kind="survey",
        points=survey.award.fixed or 0,
        at=context.at,
        activation=survey.activation,
        expiry=survey.expiry,
        lot=first_lot,
        counts_for_tier=survey.counts_for_tier,
    )
    facts = None
    if survey.budget is not None:
        budget = context.program.budgets[survey.budget]
        award = pay_one(award, budget, rooms_of(context.facts))
        facts = facts_kept(context.facts, (award,))
    awards: tuple[Award, ...] = (award,)
    month, tier_changes = points_counted(account, context.programs, context.at, awards)
    awards = with_welcomes(account, context.programs, tier_changes, awards)
    draft = Draft(account.holdings)
    draft.grant(awards, "")
    draft.catch_up(first_lot, context.now)
    return SurveyRewarded(
        **context.head(),
        postings=tuple(draft.postings),
        tier_changes=tier_changes,
        survey_id=data.survey_id,
        completion_id=data.completion_id,
        score=data.score,
        awards=awards,
        month=month,
        facts=facts,
    )
