"""Promo codes: how one is written, and what the codes that a purchase names are good for.

A fixed code is a word of the program, for many uses. A generated code is unguessable: 64 random
bits in an alphabet without look-alikes, and a check character. Capitals, blanks and hyphens make no
difference. Of generated codes only the digest is stored; whether one is known, left, or somebody
else's is a fact from outside (`Facts.codes`), the rest is judged here. Pure.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from msgspec.structs import replace

from ledger.core.keep import LIFETIME
from ledger.core.program.compiled import Compiled
from ledger.core.program.promo_codes import Series, normal
from schemas.decisions import Award, CodeFact, CodeUse, Facts
from schemas.fields import Instant
from schemas.inputs import PurchaseData

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0 and O, 1, I and L. 31 is a prime, so the check character finds every wrong character
and every two that changed places."""

BASE = len(ALPHABET)

RANDOM_CHARACTERS = 13
"""31**13 is more than 2**64: each number of 64 bits has a code of its own."""

CODE_CHARACTERS = RANDOM_CHARACTERS + 1

GROUPS = (5, 10)
"""Where a code is written with a hyphen: ABCDE-FGHJK-MNPQ."""

DIGEST_BYTES = 16
"""Two of 10**12 codes meet with a chance below 10**-14."""

_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def digest(code: str) -> bytes:
    """What is stored of a generated code (normal form)."""
    return blake2b(code.encode(), digest_size=DIGEST_BYTES, person=b"promo code").digest()


def check_character(characters: str) -> str:
    """The last character of a code that begins with these."""
    weighted = sum(place * _VALUES[one] for place, one in enumerate(characters, 1))
    return ALPHABET[weighted % BASE]


def generated(text: str) -> str | None:
    """The normal form of what can be a generated code; None for anything else (a typing error)."""
    code = normal(text)
    if len(code) != CODE_CHARACTERS or not _VALUES.keys() >= set(code):
        return None
    return code if check_character(code[:-1]) == code[-1] else None


def counter_of(series: str) -> str:
    """The key of the counter of a member's uses of a series."""
    return f"promo_codes/{series}{LIFETIME}"


def judged(
    program: Compiled,
    purchase: PurchaseData,
    at: Instant,
    used: Mapping[str, tuple[int, int]],
    facts: Facts,
) -> Facts:
    """The facts with what each code named comes to; `facts.codes`: what is known from outside (or
    what came of it before: judging that again changes nothing). Words that a rule asks for as they
    are have no fact."""
    known = {fact.place: fact for fact in facts.codes}
    found = []
    for place, text in enumerate(purchase.promo_codes):
        if text in program.plain_codes:
            continue
        fact = known.get(place)
        if fact is None:
            word = program.words.get(normal(text))
            if word is None:
                fact = CodeFact(place, "unknown")
            else:
                fact = CodeFact(place, "ok" if word.uses is None else "spent", word.id)
        of = program.series.get(fact.series)
        if of is None or (of.code is not None and normal(of.code) != normal(text)):
            fact = CodeFact(place, "unknown")
        elif fact.status == "ok":
            fact = CodeFact(place, _status(of, at, used), fact.series)
        found.append(fact)
    return replace(facts, codes=tuple(found))


def _status(series: Series, at: Instant, used: Mapping[str, tuple[int, int]]) -> str:
    """What a code of the series that is left comes to, for this member at this moment."""
    if at < series.start:
        return "not_yet"
    if at >= series.end:
        return "expired"
    times = used.get(counter_of(series.id), (0, 0))[1]
    if series.per_member is not None and times >= series.per_member:
        return "used_by_member"
    return "ok"


def uses_of(
    program: Compiled, purchase: PurchaseData, facts: Facts, awards: Iterable[Award]
) -> tuple[CodeUse, ...]:
    """The codes that the awards use: of each rule that asks for a series and pays, one."""
    good = [fact for fact in facts.codes if fact.status == "ok"]
    if not good:
        return ()
    rules = {rule.id: rule for rule in program.rules}
    taken: dict[str, CodeFact] = {}
    for award in awards:
        rule = rules.get(award.rule)
        if not award.points or rule is None or not rule.series:
            continue
        if not rule.words.isdisjoint(purchase.promo_codes) or not rule.series.isdisjoint(taken):
            continue
        fact = next(fact for fact in good if fact.series in rule.series)
        taken[fact.series] = fact
    uses = []
    for fact in taken.values():
        of = program.series[fact.series]
        code = "" if of.code else digest(normal(purchase.promo_codes[fact.place])).hex()
        uses.append(CodeUse(of.id, code, of.budget if of.code and of.uses is not None else ""))
    return tuple(uses)
