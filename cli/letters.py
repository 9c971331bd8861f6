"""Dead letters as a person or a program reads them: lines, and plain values for JSON.

Bytes are shown as text; what is no text in them as escapes. Nothing here asks the ledger.
"""

from datetime import datetime

import typer

from cli.context import print_json
from ledger.dead_letters import DeadLetter, Status
from ledger.received import Outcome


def tell(outcomes: dict[int, Outcome], *, as_json: bool) -> None:
    """Say how retries ended, by id."""
    if as_json:
        print_json(
            {
                "retried": [
                    {"id": number, "outcome": o.kind, "code": o.code, "message": o.message}
                    for number, o in outcomes.items()
                ]
            }
        )
        return
    for number, outcome in outcomes.items():
        reason = f": {outcome.message} [{outcome.code}]" if outcome.code else ""
        typer.echo(f"{number:>8}  {outcome.kind}{reason}")
    again = sum(outcome.kind == "dead_lettered" for outcome in outcomes.values())
    typer.echo(f"{len(outcomes)} retried" + (f", {again} dead-lettered again" if again else ""))


def status_of(text: str) -> Status:
    """The status that an option names. Raises typer.BadParameter."""
    for known in ("open", "retried", "discarded"):
        if text == known:
            return known
    raise typer.BadParameter("choose open, retried or discarded")


def place(letter: DeadLetter) -> str:
    """Where it came from, in one word or two."""
    if letter.partition is None:
        return letter.source
    return f"{letter.source}/{letter.partition} {letter.offset}"


def plain(letter: DeadLetter) -> dict[str, object]:
    """Its fields, each as JSON can have it."""
    fields: dict[str, object] = {}
    for name in letter.__struct_fields__:
        value = getattr(letter, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace")
        elif isinstance(value, datetime):
            value = value.isoformat()
        elif name == "headers":
            value = [
                [
                    key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
                    None if raw is None else raw.decode("utf-8", "backslashreplace"),
                ]
                for key, raw in value
            ]
        fields[name] = value
    return fields
