"""The two-person rule: what is proposed waits, another person approves, it is carried out once.

What an approved proposal does goes through the ledger's one door under the proposal's own id as its
idempotency key, so that it takes effect once however often it is tried: by the call that approves,
by that call again, or by whichever process finds it approved and not carried out.

    answer = await approvals.propose(...)            an operation whose change always waits
    answer = await approvals.adjustment(...)         None: within the limit, go on
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import Request
from msgspec.structs import replace
from psycopg_pool import AsyncConnectionPool
from starlette.responses import Response

from api.access import proposals
from api.access.layer import Layer
from api.access.proposal_answers import ProposalAnswer, answer_of
from api.access.proposals import New, Proposal
from api.caller import Caller
from api.changing import answer_of as change_of
from api.documents import json_of
from api.door import Door
from api.problems import Problem
from api.tasks import ended
from ledger.application import Ledger
from ledger.core.program.canonical import canonical, from_canonical, version_of
from ledger.core.program.form import Program
from ledger.database import translated
from ledger.dedupe import key_of
from ledger.errors import LedgerError, ProgramRefused
from schemas.decode import decode_record
from schemas.inputs import PointsAdjust

log = logging.getLogger(__name__)

SOURCE = "/proposals"
"""The CloudEvents source of what proposals do: no client of the API has it."""

PART = "approvals"
"""The name among `State.parts`."""

RESUME_SECONDS = 60.0
"""How often approved proposals that nobody carried out are looked for; also at the start."""

RESUME_MAX = 100
"""Of one look."""


class Approvals:
    """Proposals of one ledger."""

    def __init__(self, layer: Layer, ledger: Ledger, door: Door, approval_points: int) -> None:
        self._layer = layer
        self._pool: AsyncConnectionPool[Any] = layer.pool
        self._ledger = ledger
        self._door = door
        self._approval_points = approval_points

    async def propose(self, new: New) -> Proposal:
        """Store it, or find it when it came before. Raises Problem (409, 503),
        DatabaseUnavailable."""
        with translated():
            async with self._pool.connection() as connection:
                return await proposals.insert(connection, new)

    async def adjustment(
        self, caller: Caller, event: PointsAdjust, *, timed: bool
    ) -> Proposal | None:
        """The proposal that an adjustment becomes; None when it may be made at once. One that was
        answered before is answered the same way, whatever the limit was then. Raises Problem
        (409, 503), DatabaseUnavailable."""
        new = New(
            kind="adjustment",
            subject=str(event.subject),
            content=msgspec.json.encode(event),
            content_hash=_hash_of(event, timed),
            timed=timed,
            client=caller.client,
            key=event.id,
            proposed_by=caller.name,
            proposed_person=caller.person,
        )
        with translated():
            async with self._pool.connection() as connection:
                before = await proposals.known(connection, new)
        if before is not None:
            return before
        if abs(event.data.points) <= self._approval_points:
            return None
        if key_of(event) in await self._ledger.taken([event]):
            return None  # made before, when the limit was higher: the ledger answers as it did
        return await self.propose(new)

    async def find(self, proposal_id: str) -> Proposal:
        """Raises Problem (404), DatabaseUnavailable."""
        with translated():
            async with self._pool.connection() as connection:
                return await proposals.find(connection, proposal_id)

    async def page(
        self, state: str | None, limit: int, before: tuple[str, str] | None
    ) -> list[Proposal]:
        """The newest first. Raises DatabaseUnavailable."""
        with translated():
            async with self._pool.connection() as connection:
                return await proposals.page(connection, state, limit, before)

    async def approve(self, request: Request, caller: Caller, proposal_id: str) -> Proposal:
        """Approve and carry out; once more carries out what was left undone, and no more. Raises
        Problem (403 person_needed, same_person; 404; 409 proposal_closed), DatabaseUnavailable (it
        is approved or not: ask again)."""
        proposal = await self._decided(request, caller, proposal_id, "approved", None)
        if proposal.state == "approved":
            await self._carry_out(proposal)
            proposal = await self.find(proposal_id)
        if proposal.state not in ("approved", "done", "failed"):
            raise _closed(proposal)
        return proposal

    async def reject(
        self, request: Request, caller: Caller, proposal_id: str, reason: str
    ) -> Proposal:
        """Turn it down for good; once more is no change. Raises Problem as `approve`."""
        proposal = await self._decided(request, caller, proposal_id, "rejected", reason)
        if proposal.state != "rejected":
            raise _closed(proposal)
        return proposal

    async def resume(self) -> int:
        """Carry out what was approved and is not carried out; how many were tried. Raises
        DatabaseUnavailable."""
        with translated():
            async with self._pool.connection() as connection:
                found = await proposals.approved(connection, RESUME_MAX)
        for proposal in found:
            try:
                await self._carry_out(proposal)
            except Exception:  # the others must not suffer for it
                log.exception("an approved proposal waits", extra={"proposal": proposal.id})
        return len(found)

    async def run(self) -> None:
        """`resume` now, and again and again."""
        while True:
            try:
                await self.resume()
            except LedgerError as error:
                log.warning("approved proposals wait", extra={"reason": error.message})
            await asyncio.sleep(RESUME_SECONDS)

    async def _decided(
        self,
        request: Request,
        caller: Caller,
        proposal_id: str,
        status: str,
        reason: str | None,
    ) -> Proposal:
        """Decide if it is still open; the proposal as it is then."""
        proposal = await self.find(proposal_id)
        if caller.person is None:
            self._layer.note_refusal(request, 403, "person_needed", caller)
            raise Problem(
                403,
                "person_needed",
                "Only a person decides about proposals: sign in, or use a person's key.",
            )
        if caller.person == proposal.proposed_person:
            self._layer.note_refusal(request, 403, "same_person", caller)
            raise Problem(
                403, "same_person", "Another person than the one who proposed it must decide."
            )
        with translated():
            async with self._pool.connection() as connection:
                await proposals.decide(
                    connection, proposal_id, status, caller.name, caller.person, reason
                )
        return await self.find(proposal_id)

    async def _carry_out(self, proposal: Proposal) -> None:
        """Do what was approved. Raises DatabaseUnavailable, AppendFailed, Full: it stays
        approved and is tried again."""
        act = _adjust if proposal.kind == "adjustment" else _publish
        status, result = await act(self, proposal)
        with translated():
            async with self._pool.connection() as connection:
                await proposals.end(connection, proposal.id, status, result)


async def _adjust(approvals: Approvals, proposal: Proposal) -> tuple[str, dict[str, Any]]:
    event = decode_record(proposal.content)
    assert isinstance(event, PointsAdjust)
    moment = event.time if proposal.timed else datetime.now(UTC)
    event = replace(event, source=SOURCE, id=proposal.id, time=moment)
    answer = await approvals._door.change(event, timed=proposal.timed)
    try:
        change = change_of(answer, proposal.subject)
    except Problem as problem:
        if problem.status >= 500:
            raise
        return "failed", {"code": problem.code, "detail": problem.detail}
    return "done", msgspec.to_builtins(change)


async def _publish(approvals: Approvals, proposal: Proposal) -> tuple[str, dict[str, Any]]:
    program = from_canonical(proposal.content)
    try:
        version, fresh = await approvals._ledger.publish_program(program)
    except ProgramRefused as error:
        return "failed", {"code": error.code, "detail": error.message}
    return "done", {"version": version, "published": fresh}


async def propose(request: Request, caller: Caller, key: str, program: Program) -> Response:
    """Answer an operation that publishes a program: 202 with the proposal. `key`: the caller's
    Idempotency-Key; `program`: checked already. The same again is answered with the same proposal
    as it is by then.

    Whoever approves has it published by `Ledger.publish_program`; what the ledger then refuses (a
    version that begins too early by now) is the proposal's result. Raises Problem (409 conflict,
    429 too_many_own_proposals, 503 too_many_proposals), DatabaseUnavailable.
    """
    content = canonical(program)
    proposal = await of(request).propose(
        New(
            kind="program",
            subject=version_of(program),
            content=content,
            content_hash=hashlib.sha256(b"program\n" + content).digest(),
            timed=True,
            client=caller.client,
            key=key,
            proposed_by=caller.name,
            proposed_person=caller.person,
        )
    )
    return accepted(proposal)


def accepted(proposal: Proposal) -> Response:
    """202: it waits, or waited, for a second person."""
    answer: ProposalAnswer = answer_of(proposal)
    return json_of(answer, 202, {"Location": f"/v1/proposals/{proposal.id}"})


def of(request: Request) -> Approvals:
    """Those of the running application."""
    found: Approvals = request.app.state.points.parts[PART]
    return found


@asynccontextmanager
async def opened(
    layer: Layer, ledger: Ledger, door: Door, approval_points: int
) -> AsyncIterator[Approvals]:
    """The approvals, while the API runs; what was left undone is carried out beside."""
    approvals = Approvals(layer, ledger, door, approval_points)
    task = asyncio.create_task(approvals.run())
    try:
        yield approvals
    finally:
        await ended(task)


def _closed(proposal: Proposal) -> Problem:
    return Problem(
        409,
        "proposal_closed",
        f"The proposal is {proposal.state}: have it proposed again if it is still wanted.",
    )


def _hash_of(event: PointsAdjust, timed: bool) -> bytes:
    """What the caller said: without the moment, when that was ours."""
    said = [str(event.subject), event.data, event.time if timed else None]
    return hashlib.sha256(b"adjustment\n" + msgspec.json.encode(said)).digest()
