"""Program texts and purchases that the tests of programs and rules share."""

from decimal import Decimal
from pathlib import Path

from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.load import ProgramErrors, load_program
from ledger.core.program.problems import Problem
from schemas.inputs import PurchaseData, PurchaseLine

DEMO = (Path(__file__).parents[2] / "demo" / "program.yaml").read_text()

HEAD = """\
program: test
currency: RUB
time_zone: UTC
effective_from: 2026-01-01T00:00:00Z
point_value: 1
activation: {after: P14D}
expiry: {after: P12M}
"""


def program_of(earn: str, rest: str = "", head: str = HEAD) -> Compiled:
    """The compiled program of these earn rules (each `- …`, not indented)."""
    return compile_program(load_program(f"{head}{rest}earn:\n{earn}", "test.yaml"))


def problems_of(text: str) -> tuple[Problem, ...]:
    """The problems of a text; none when it loads."""
    try:
        load_program(text, "test.yaml")
    except ProgramErrors as error:
        return error.problems
    return ()


def purchase_of(
    *lines: tuple[int, str | None], quantity: str = "1", order_id: str = "o-1", **more: object
) -> PurchaseData:
    """A purchase of lines (amount, category)."""
    facts: dict[str, object] = {"store_id": "s-1", "channel": "store", "currency": "RUB", **more}
    return PurchaseData(
        order_id=order_id,
        lines=tuple(
            PurchaseLine(str(i), f"sku-{i}", amount, Decimal(quantity), category, None)
            for i, (amount, category) in enumerate(lines, 1)
        ),
        **facts,  # type: ignore[arg-type]
    )
