"""What the server answers, typed. Fields that a newer server adds are ignored."""

from datetime import datetime
from typing import Any

from msgspec import Struct


class Event(Struct, frozen=True):
    """Where the log has a change."""

    shard: int
    position: int
    type: str


class Balance(Struct, frozen=True):
    """Points; `available` is net of debts."""

    available: int
    pending: int
    reserved: int


class Change(Struct, frozen=True):
    """What a change did. `outcome`: applied, or waiting (a return before its purchase).
    `repeated`: it was made before under this key, and nothing was changed now. `decision`: the
    event that answers it. `balance`: after it; None when repeated. `voucher_code`: what a claimed
    voucher hands out; None for anything else."""

    outcome: str
    member_id: str
    event: Event
    decision: dict[str, Any]
    repeated: bool = False
    balance: Balance | None = None
    voucher_code: str | None = None


class Proposal(Struct, frozen=True):
    """A change that waits for another person's approval: nothing was changed yet. `state`: open,
    approved, rejected, expired, done or failed."""

    id: str
    state: str
    subject: str
    expires_at: datetime


class PreviewAward(Struct, frozen=True):
    """What a rule would give. `expires_at` None: never."""

    rule: str
    kind: str
    points: int
    activates_at: datetime
    expires_at: datetime | None


class RuleWithout(Struct, frozen=True):
    """A rule that would give nothing, and why: a code and a sentence."""

    rule: str
    code: str
    why: str


class PromoCode(Struct, frozen=True):
    """A promo code that was named. `status`: ok, or why it is worth nothing."""

    code: str
    status: str
    series: str


class Payable(Struct, frozen=True):
    """The most points that may pay for the basket; `amount`: their worth in minor units.
    `excluded_categories`: those whose lines they do not pay for."""

    points: int
    amount: int
    limited_by: str
    excluded_categories: list[str] = []


class Preview(Struct, frozen=True):
    """What would happen if the basket were paid now. `refused`: the code with which the purchase
    would be refused, else None."""

    points: int
    awards: list[PreviewAward]
    rules_without: list[RuleWithout]
    promo_codes: list[PromoCode]
    tier: str
    tier_after: str
    payable: Payable
    balance: Balance
    program_version: str
    refused: str | None


class NotTaken(Struct, frozen=True):
    """An event of a batch that is not in Kafka. `status`: refused (correct it), or unknown (send
    it again)."""

    index: int
    status: str
    code: str = ""
    path: str = ""
    message: str = ""


class Ingested(Struct, frozen=True):
    """How a batch ended: `accepted` events are durably in Kafka."""

    accepted: int
    refused: int
    unknown: int
    items: list[NotTaken]
