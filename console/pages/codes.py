"""Promo codes: their series, one looked up, codes made, a new series proposed."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from nicegui import ui

from api.fresh import CSV, csv_of
from console.asking import Refused
from console.forms import Field, Values, dialog_of, form, moment_typed, whole
from console.frame import Screen, shown
from console.parts import DO, heading, moment, plain, table
from ledger.core.program.document import write_document

CODES_SHOWN = 20
"""Of a batch on the screen; the file has all."""

Show = Callable[[], Awaitable[None]]


async def codes(screen: Screen) -> None:
    """The series with what can be done about them. Raises Refused."""
    body = ui.column().classes("w-full gap-2")

    async def show() -> None:
        told = await screen.asking.get("/promo-codes", limit=200)
        body.clear()
        with body:
            heading(screen.say("Series of promo codes"))
            _series(screen, told["items"])
            if screen.asking.may("programs:write"):
                with ui.row().classes("gap-2"):
                    _making(screen, told["items"], body, show)
                    _new_series(screen)
            if screen.asking.may("preview"):
                _one_code(screen)

    await show()


def _series(screen: Screen, items: list[dict[str, Any]]) -> None:
    say = screen.say
    if not items:
        ui.label(say("The program has no promo codes."))
        return
    table(
        say("Series of promo codes"),
        [
            ("series", say("Series")),
            ("code", say("Code")),
            ("codes", say("Codes")),
            ("uses", say("Uses")),
            ("left", say("Uses left")),
            ("per_member", say("Per member")),
            ("from", say("Valid from")),
            ("to", say("Valid until")),
        ],
        [
            {
                "series": each["series"],
                "code": each["code"] or say("generated"),
                "codes": each["codes"],
                "uses": say("any number") if each["uses"] is None else each["uses"],
                "left": say("any number") if each["uses_left"] is None else each["uses_left"],
                "per_member": each["per_member"] or say("any number"),
                "from": moment(screen, each["valid_from"]) if each["valid_from"] else "",
                "to": moment(screen, each["valid_to"]) if each["valid_to"] else "",
            }
            for each in items
        ],
    )


def _making(screen: Screen, items: list[dict[str, Any]], place: ui.element, show: Show) -> None:
    """The button that makes codes of a series, where there is one that takes them."""
    say = screen.say
    able = {each["series"]: each["series"] for each in items if each["kind"] == "generated"}
    if not able:
        return

    async def make(values: Values, key: str) -> None:
        members = str(values["members"] or "").split()
        if bool(members) == bool(values["count"]):
            raise Refused(
                422,
                "count_or_members",
                say("Write either how many codes, or the members who get one."),
            )
        body: dict[str, Any] = {"member_ids": members}
        if not members:
            body = {"count": whole(screen, values["count"], "count")}
        path = f"/promo-codes/{quote(values['series'], safe='')}/batches"
        told = await screen.asking.change(path, body, key=key)
        await show()
        with place:
            _given(screen, told)

    fields = [
        Field("series", say("Series"), "choice", options=able),
        Field("count", say("How many, for everybody"), "number"),
        Field(
            "members",
            say("Or for these members"),
            "lines",
            hint=say("Ids, one a line: each gets a code that nobody else can use."),
        ),
    ]
    opened = form(screen, say("Make promo codes"), fields, make)
    ui.button(say("Make codes"), icon="add", color=None, on_click=opened).classes(DO)


def _given(screen: Screen, told: dict[str, Any]) -> None:
    """The codes, which nobody can look up later."""
    say, made = screen.say, told["codes"]
    title = say("Codes of {series}: {n}", n=screen.texts.number(len(made)), series=told["series"])
    with dialog_of(title) as dialog:
        ui.label(say("Keep them now: the ledger has no copy that can be read.")).props(
            "role=status"
        )
        lines = [f"{each['code']} {each.get('member_id', '')}".rstrip() for each in made]
        plain("\n".join(lines[:CODES_SHOWN]))
        if len(lines) > CODES_SHOWN:
            ui.label(say("The file has all."))

        def download() -> None:
            columns = ["code", "member_id"] if "member_id" in made[0] else ["code"]
            rows = [[each[name] for name in columns] for each in made]
            ui.download.content(csv_of(columns, rows), f"{told['series']}.csv", CSV)

        with ui.row().classes("w-full justify-end"):
            ui.button(say("Close"), on_click=dialog.close).props("flat")
            ui.button(say("As a CSV file"), icon="download", color=None, on_click=download).classes(
                DO
            )


def _new_series(screen: Screen) -> None:
    """The button that proposes a program with one more series."""
    say = screen.say

    async def propose(values: Values, key: str) -> None:
        text = await _with_series(screen, values)
        checks = await screen.asking.change("/program-checks", {"text": text})
        if not checks["ok"]:
            first = checks["problems"][0]
            raise Refused(422, first["code"], first["message"], first["path"])
        told = await screen.asking.change("/programs", {"text": text}, key=key)
        ui.notify(
            say("It waits for the approval of another person.")
            if "state" in told
            else say("Published."),
            type="info",
        )

    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    fields = [
        Field("id", say("Id of the series"), hint=say("Rules name it in promo_code.")),
        Field("code", say("Code"), hint=say("As it is printed; left out, codes are made later.")),
        Field("uses", say("Uses of each code"), "number"),
        Field("per_member", say("Uses of a member"), "number"),
        Field("from", say("Valid from"), "moment"),
        Field("to", say("Valid until"), "moment"),
        Field("begins", say("The program is in force from"), "moment", f"{tomorrow}T00:00"),
    ]
    note = say("It is a new version of the program: another person approves it.")
    opened = form(screen, say("A new series of promo codes"), fields, propose, note=note)
    ui.button(say("A new series"), on_click=opened).props("outline")


async def _with_series(screen: Screen, values: Values) -> str:
    """The newest version of the program with one more series, as its file. Raises Refused."""
    newest = (await screen.asking.get("/programs", limit=1))["items"][0]
    content = (await screen.asking.get(f"/programs/{newest['version']}"))["content"]
    series: dict[str, Any] = {"id": str(values["id"] or "").strip()}
    if values["code"]:
        series["code"] = str(values["code"]).strip()
    for name in ("uses", "per_member"):
        if values[name]:
            series[name] = whole(screen, values[name], name)
    valid = {name: moment_typed(screen, values[name], name) for name in ("from", "to")}
    if any(valid.values()):
        series["valid"] = {name: text for name, text in valid.items() if text}
    begins = moment_typed(screen, values["begins"], "effective_from")
    content["effective_from"] = begins or content["effective_from"]
    content["promo_codes"] = [*content.get("promo_codes", []), series]
    return write_document(content)


def _one_code(screen: Screen) -> None:
    say = screen.say
    with ui.row().classes("items-center gap-2"):
        box = ui.input(say("A promo code")).props("outlined dense autocomplete=off")
        told = ui.label().props("role=status")

        async def look() -> None:
            async def work() -> None:
                found = await screen.asking.get(f"/promo-codes/{quote(box.value or '', safe='')}")
                whose = found["member_id"] or say("everybody")
                left = found["uses_left"]
                told.set_text(
                    say(
                        "Of the series {series}, for {whose}, uses left: {left}.",
                        series=found["series"],
                        whose=whose,
                        left=say("any number") if left is None else left,
                    )
                )

            await shown(work)

        ui.button(say("Look it up"), on_click=look).props("outline")
