"""A proposal as it is told."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from api.access.proposals import Proposal


class ProposalAnswer(Struct, frozen=True, omit_defaults=True):
    """`state`: open, approved (being carried out), rejected, expired, done or failed (the ledger
    refused it). `subject`: the member, or the program version. `result`: of one that is done, what
    the change answered; of one that failed, the ledger's code and sentence. `content`: what is
    proposed, left out in lists."""

    id: str
    kind: str
    state: str
    subject: str
    proposed_at: datetime
    proposed_by: str
    expires_at: datetime
    decided_at: datetime | UnsetType = UNSET
    decided_by: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    ended_at: datetime | UnsetType = UNSET
    result: dict[str, Any] | UnsetType = UNSET
    content: dict[str, Any] | UnsetType = UNSET


def answer_of(proposal: Proposal, *, content: bool = True) -> ProposalAnswer:
    """With its content or without."""
    said: dict[str, Any] = {}
    if content:
        said = msgspec.json.decode(proposal.content)
        if proposal.kind == "adjustment":
            said = said["data"]
    return ProposalAnswer(
        *(proposal.id, proposal.kind, proposal.state, proposal.subject),
        *(proposal.proposed_at, proposal.proposed_by, proposal.expires_at),
        UNSET if proposal.decided_at is None else proposal.decided_at,
        UNSET if proposal.decided_by is None else proposal.decided_by,
        UNSET if proposal.reason is None else proposal.reason,
        UNSET if proposal.ended_at is None else proposal.ended_at,
        UNSET if proposal.result is None else proposal.result,
        said if content else UNSET,
    )
