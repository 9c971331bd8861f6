"""What a decision is made with: the settled account, the moment, the program in force, the facts.

A decider reads the context, never changes the account, and returns one event; it raises Refused for
a business refusal, which becomes an event of its own.
"""

from typing import Any

import msgspec
from msgspec import Raw

from ledger.core.account import Account
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import Timeline
from schemas.decisions import Cause, Facts, InputRefused
from schemas.fields import Instant
from schemas.inputs import InputEvent, MemberData

NO_DATA = Raw(b"{}")
NO_FACTS = Facts()


class Refused(Exception):
    """The input is understood and turned down. `code` is stable, the message a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Context(msgspec.Struct, frozen=True, eq=False):
    """`at`: the input's occurred_at, `now`: the later of it and what the account is settled to,
    `late_by`: microseconds between the two. `addressed`: see `Decision`."""

    account: Account
    at: Instant
    program: Compiled
    programs: Timeline
    cause: Cause | None
    facts: Facts
    now: Instant
    late_by: int
    addressed: str = ""

    @classmethod
    def of(
        cls,
        account: Account,
        at: Instant,
        program: Compiled,
        programs: Timeline,
        cause: Cause | None,
        facts: Facts,
        addressed: str = "",
    ) -> "Context":
        """The context of an input that occurred at `at`; `account` is settled up to then."""
        now = max(at, account.settled_to)
        return cls(account, at, program, programs, cause, facts, now, now - at, addressed)

    @property
    def returnable_until(self) -> Instant:
        """The last instant at which what is bought now can be returned."""
        return self.program.stretch(self.at).returnable_until(self.at)

    def head(self) -> dict[str, Any]:
        """What every decision carries."""
        return {
            "occurred_at": self.at,
            "program": self.program.version,
            "cause": self.cause,
            "late_by": self.late_by,
            "addressed": self.addressed,
        }

    def refused(self, kind: str, refusal: Refused, data: msgspec.Struct) -> InputRefused:
        """The event of a refusal."""
        return InputRefused(
            **self.head(),
            input_type=kind,
            code=refusal.code,
            message=refusal.message,
            # A profile must not get into the log by being refused.
            data=NO_DATA if isinstance(data, MemberData) else Raw(msgspec.json.encode(data)),
            facts=_that_refuse(self.facts),
        )


def _that_refuse(facts: Facts) -> Facts | None:
    """Those facts on which a refusal can rest, if there are any: what is known of the member, of
    budgets and of promo codes only decides on awards."""
    if facts is NO_FACTS:
        return None
    kept = Facts(
        referrer_status=facts.referrer_status,
        referrer_referred_by=facts.referrer_referred_by,
        order_known=facts.order_known,
        other_status=facts.other_status,
        other_merged=facts.other_merged,
        reward_given=facts.reward_given,
        codes_loaded=facts.codes_loaded,
    )
    return None if kept == NO_FACTS else kept


def input_type(event: InputEvent) -> str:
    """The CloudEvents type of an input."""
    return str(type(event).__struct_config__.tag)
