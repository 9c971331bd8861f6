"""The links of the OpenAPI document: which answer names what another operation asks for.

They tell a client's generator, and whoever tests the API by its document, how to go on: from a
reservation to its confirmation, from a purchase to its return, from a job to its progress.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

Values = dict[str, str]

_ITEM = "$response.body#/items/0"
"""The first of a page."""

_MEMBER: Values = {"member_id": "$request.path.member_id"}
_SHOWS_MEMBER = ("get_member", "get_balance", "list_lots", "list_history", "explain_member")


class Link(NamedTuple):
    """From an answer of one operation to the others that go on; `values`: of their parameters,
    `body`: of fields of their body, as runtime expressions."""

    before: str
    status: int
    after: tuple[str, ...]
    values: Values
    body: Values | None = None


_RESERVATION = _MEMBER | {"reservation_id": "$request.body#/reservation_id"}
_JOBS = (
    *("begin_backtest", "begin_liability", "begin_rebuild", "begin_verification"),
    *("begin_value", "begin_uplift"),
)
_MOVES = ("redeem", "donate", "claim", "adjust", "transfer", "confirm", "cancel", "return_goods")
_WEBHOOK = {"webhook_id": "$response.body#/webhook/id"}
_SAME_WEBHOOK = {"webhook_id": "$request.path.webhook_id"}
_LISTED_WEBHOOK = {"webhook_id": f"{_ITEM}/id"}
_DELIVERY = {"delivery_id": "$response.body#/id"}
_KEY = {"key_id": "$response.body#/key/id"}
_PROPOSAL = {"proposal_id": "$response.body#/id"}
_LETTER = {"letter_id": f"{_ITEM}/id"}
_CODE = {"code": "$response.body#/code"}

_LISTED = {"member_id": f"{_ITEM}/member_id"}

LINKS = (
    Link("enrol", 200, (*_SHOWS_MEMBER, "get_tier", "get_segments"), _MEMBER),
    Link("enrol", 200, ("update", "purchase", "adjust", "freeze", "erase"), _MEMBER),
    Link("enrol", 200, ("make_referral_code",), _MEMBER),
    Link("adjust", 200, ("reserve", "redeem", "donate", "claim", "transfer"), _MEMBER),
    Link("adjust", 202, ("proposal", "approve", "reject"), _PROPOSAL),
    Link("purchase", 200, (*_SHOWS_MEMBER, "reserve", "redeem"), _MEMBER),
    Link("purchase", 200, ("return_goods",), _MEMBER, {"order_id": "$request.body#/order_id"}),
    Link("reserve", 200, ("confirm", "cancel"), _RESERVATION),
    *(Link(move, 200, ("get_balance", "list_history"), _MEMBER) for move in _MOVES),
    Link("transfer", 200, ("get_balance",), {"member_id": "$request.body#/to"}),
    Link("merge", 200, ("get_balance", "explain_member"), {"member_id": "$request.body#/into"}),
    Link("refer", 200, ("list_referrals",), _MEMBER),
    Link("make_referral_code", 200, ("get_referral_code",), _MEMBER),
    Link("make_referral_code", 200, ("check_referral_code",), _CODE),
    Link("freeze", 200, ("unfreeze", "redeem"), _MEMBER),
    Link("close", 200, ("get_member",), _MEMBER),
    Link("list_members", 200, (*_SHOWS_MEMBER, "get_tier", "get_segments"), _LISTED),
    Link("list_members", 200, ("adjust", "reserve", "redeem", "purchase", "preview"), _LISTED),
    Link("list_members", 200, ("make_referral_code", "list_referrals"), _LISTED),
    Link("list_members", 200, ("list_member_codes", "freeze"), _LISTED),
    Link("list_segments", 200, ("list_segment_members",), {"segment": f"{_ITEM}/segment"}),
    Link("list_segment_members", 200, ("get_segments", "get_member"), _LISTED),
    Link("list_holdout", 200, ("get_member", "get_balance"), {"member_id": _ITEM}),
    Link("list_code_series", 200, ("make_codes",), {"series": f"{_ITEM}/series"}),
    Link("list_code_series", 200, ("check_code",), {"code": f"{_ITEM}/code"}),
    Link("make_codes", 201, ("check_code",), {"code": "$response.body#/codes/0/code"}),
    Link("list_programs", 200, ("get_program",), {"version": f"{_ITEM}/version"}),
    Link("publish_program", 202, ("proposal", "approve", "reject"), _PROPOSAL),
    *(Link(job, 202, ("get_job", "stop_job"), {"job_id": "$response.body#/id"}) for job in _JOBS),
    Link("proposals", 200, ("proposal", "approve", "reject"), {"proposal_id": f"{_ITEM}/id"}),
    Link("list_projections", 200, ("begin_rebuild",), {"name": f"{_ITEM}/projection"}),
    Link("list_jobs", 200, ("get_job",), {"job_id": f"{_ITEM}/id"}),
    Link("list_dead_letters", 200, ("get_dead_letter", "retry_dead_letter"), _LETTER),
    Link("list_dead_letters", 200, ("discard_dead_letter",), _LETTER),
    Link("add_webhook", 201, ("webhook", "change_webhook", "webhook_deliveries"), _WEBHOOK),
    Link("add_webhook", 201, ("test_webhook", "resume_webhook", "remove_webhook"), _WEBHOOK),
    Link("add_webhook", 201, ("rotate_webhook_secret",), _WEBHOOK),
    Link("webhooks", 200, ("webhook", "test_webhook", "webhook_deliveries"), _LISTED_WEBHOOK),
    Link("webhook_deliveries", 200, ("repeat_delivery",), {"delivery_id": f"{_ITEM}/id"}),
    Link("remove_webhook", 204, ("webhook",), _SAME_WEBHOOK),
    Link("test_webhook", 202, ("webhook_deliveries",), _SAME_WEBHOOK),
    Link("test_webhook", 202, ("repeat_delivery",), _DELIVERY),
    Link("create_key", 201, ("rotate_key", "revoke_key"), _KEY),
    Link("list_keys", 200, ("rotate_key", "revoke_key"), {"key_id": f"{_ITEM}/id"}),
    Link("rotate_key", 201, ("revoke_key",), _KEY),
)


def add_links(document: dict[str, Any], links: Iterable[Link] = LINKS) -> None:
    """Put the links into the document. Raises KeyError for an operation that it does not have."""
    known = {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    for link in links:
        answer = known[link.before]["responses"][str(link.status)]
        for after in link.after:
            known[after]  # a link to nowhere is a mistake in the table
            told: dict[str, Any] = {"operationId": after, "parameters": link.values}
            if link.body is not None:
                told["requestBody"] = link.body
            answer.setdefault("links", {})[_name(after, link)] = told


def _name(after: str, link: Link) -> str:
    """Unique within an answer."""
    return after if link.values is _MEMBER else f"{after}_by_{'_'.join(link.values)}"
