"""What Schemathesis is told about this API: one check of our own, and what no document can say.

Its own check that valid data is accepted lets 422 pass here, for a rule of the ledger may refuse
what is well formed (no such points, no such order). Ours asks more: that such a refusal is a rule's
and never the form's, so whatever the document allows must be read without complaint.
"""

from __future__ import annotations

import os
import time
from typing import Any

import schemathesis
from schemathesis import Case
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

from schemas.errors import Code

RULES = frozenset((Code.DUPLICATE_LINE_ID, Code.ANONYMOUS_REDEMPTION))
"""Refusals of an event that JSON Schema cannot foretell: they compare fields."""

FORM = (frozenset(Code) - RULES) | {"bad_parameter", "bad_time", "bad_share", "bad_month"} | {
    *("bad_client", "bad_role", "bad_scope", "bad_rate", "bad_grace", "bad_end"),
    *("bad_event_type", "event_types_missing", "description_too_long", "events_number"),
}  # fmt: skip
"""Codes that say: this is not what the document describes."""

OWN_KEY = os.environ.get("TESTS_OWN_KEY", "")
"""The id of the key with which the requests are sent: it must outlive them."""


@schemathesis.check
def only_a_rule_refuses_what_is_well_formed(ctx: Any, response: Response, case: Case[Any]) -> None:
    """A valid request is refused by a rule of the ledger at most."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in (400, 413, 415, 422):
        return
    told = response.json()
    if response.status_code != 422 or told["code"] in FORM:
        raise Failure(
            operation=case.operation.label,
            title=f"Well-formed data refused for its form: {told['code']}",
            message=f"{told['detail']} (path {told.get('path')})",
        )


@schemathesis.hook
def before_call(context: Any, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Write whole numbers without a fraction, and leave our own key alone.

    To JSON Schema `2.0` is the integer 2. Money and points never pass through a float here, so the
    server refuses that spelling, which is the same value: no schema can tell the two apart.
    """
    case.body = _whole(case.body)
    if case.path_parameters.get("key_id") == OWN_KEY:
        case.path_parameters["key_id"] = "other"


SIGN_IN_SECONDS = 2.0
"""After each operation's first success the tool tries it without a key and with a wrong one. The
server counts what fails by address, and forgets one a second."""

_tried: set[str] = set()


@schemathesis.hook
def after_call(context: Any, case: Case[Any], response: Response) -> None:
    """Leave time between sign-ins that must fail, or they are told to wait (429)."""
    label = case.operation.label
    if 200 <= response.status_code < 300 and label not in _tried:
        _tried.add(label)
        time.sleep(SIGN_IN_SECONDS)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return value
