"""Checks of series of promo codes: that each fixed code means one thing."""

from ledger.core.program import form
from ledger.core.program.conditions import texts
from ledger.core.program.judge import Judge
from ledger.core.program.promo_codes import normal


def check_promo_codes(program: form.Program, judge: Judge) -> None:
    """Tell the judge the problems of series, and of rules that go past them."""
    judge.unique([series.id for series in program.promo_codes], "promo_codes")
    owners: dict[str, str] = {}
    for i, series in enumerate(program.promo_codes):
        if series.code is None:
            continue
        code = normal(series.code)
        if not code:
            message = "a code needs more than blanks and hyphens, which make no difference"
            judge.say("empty_code", message, "promo_codes", i, "code")
        elif code in owners:
            message = f"the code {series.code} is that of series {owners[code]} already"
            judge.say("duplicate_code", message, "promo_codes", i, "code")
        owners.setdefault(code, series.id)
    ids = {series.id for series in program.promo_codes}
    for i, rule in enumerate(program.earn):
        if isinstance(rule.when, form.When):
            for word in sorted((texts(rule.when.promo_code) or frozenset()) - ids):
                if normal(word) in owners:
                    series_id = owners[normal(word)]
                    message = f"{word} is the code of series {series_id}: name the series here"
                    judge.say("code_of_series", message, "earn", i, "when", "promo_code")
