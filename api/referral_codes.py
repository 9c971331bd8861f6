"""The code that a member hands on: made once by chance, told again, and whose it is.

Nine characters of promo codes' alphabet, without look-alikes, and the same check character, which
finds every wrong character and every two that changed places. Capitals, blanks and hyphens make no
difference.
"""

import secrets
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg import Connection

from ledger.core.program.promo_codes import normal
from ledger.core.promo_codes import ALPHABET, check_character
from ledger.errors import LedgerError

RANDOM_CHARACTERS = 9
"""31**9 codes are 2.6 * 10**13: beside those of ten million members a new one is free but for one
time in millions, and then another is made."""

WRITTEN_AT = 5
"""Where a code is written with a hyphen: ABCDE-FGHJK."""

TRIES_MAX = 5
"""Codes made until one is free: a second one is hardly ever needed."""


class ReferralCode(Struct, frozen=True):
    """A member's code as it is written."""

    code: str
    member_id: str
    created_at: datetime


def read(text: str) -> str | None:
    """The normal form of what can be a referral code; None for a typing error."""
    code = normal(text)
    if len(code) != RANDOM_CHARACTERS + 1 or not set(ALPHABET) >= set(code):
        return None
    return code if check_character(code[:-1]) == code[-1] else None


def of_member(connection: Connection[Any], member_id: str) -> ReferralCode | None:
    """The member's code; None when none was made."""
    return _told(
        connection.execute(
            "SELECT code, member_id, created_at FROM api.referral_codes WHERE member_id = %s",
            [member_id],
        ).fetchone()
    )


def made(connection: Connection[Any], member_id: str, by: str) -> ReferralCode:
    """The member's code, made now if there is none."""
    for _ in range(TRIES_MAX):
        drawn = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
        connection.execute(
            "INSERT INTO api.referral_codes (code, member_id, created_by) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [drawn + check_character(drawn), member_id, by],
        )
        found = of_member(connection, member_id)
        if found is not None:
            return found
    raise AssertionError("five codes of 31**9 were all taken")


def whose(connection: Connection[Any], text: str) -> ReferralCode:
    """Whose code it is. Raises LedgerError (unknown_referral_code)."""
    code = read(text)
    found = None
    if code is not None:
        found = _told(
            connection.execute(
                "SELECT code, member_id, created_at FROM api.referral_codes WHERE code = %s", [code]
            ).fetchone()
        )
    if found is None:
        raise LedgerError(
            "No member has this referral code: look for a typing error.", "unknown_referral_code"
        )
    return found


def _told(row: tuple[Any, ...] | None) -> ReferralCode | None:
    if row is None:
        return None
    code, member_id, created_at = row
    return ReferralCode(f"{code[:WRITTEN_AT]}-{code[WRITTEN_AT:]}", member_id, created_at)
