"""What every screen has: head, navigation, language, light and dark, and who is signed in."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.responses import RedirectResponse

from audit.texts import N_, Texts
from console.asking import Asking, Refused
from console.sessions import COOKIE, Session, Sessions
from console.sign_in import PATH


@dataclass(frozen=True)
class Screen:
    """One person's open screen: what it says, and how it asks."""

    asking: Asking
    texts: Texts
    session: Session

    def say(self, text: str, **values: object) -> str:
        """A sentence in the person's language."""
        return self.texts.say(text, **values)


@dataclass(frozen=True)
class Place:
    """An entry of the navigation. `scope`: who lacks it does not see it."""

    path: str
    label: str
    icon: str
    scope: str


PLACES = (
    Place("/", N_("Overview"), "dashboard", "reports:read"),
    Place("/members", N_("Members"), "people", "members:read"),
    Place("/programs", N_("Programs"), "rule", "programs:read"),
    Place("/campaigns", N_("Campaigns and codes"), "local_offer", "programs:read"),
    Place("/approvals", N_("Approvals"), "how_to_reg", "proposals:read"),
    Place("/reports", N_("Reports"), "insights", "reports:read"),
    Place("/operations", N_("Operations"), "build", "operations:read"),
)

STYLE = """
:root { --points-accent: #1e5a8a; }
body { font-family: system-ui, sans-serif; }
body.body--dark { color-scheme: dark; --points-accent: #8cc4f0; --q-primary: #8cc4f0 !important; }
.points-do { background: #1e5a8a; color: #fff; }
h2.points-part { font-size: 1.15rem; line-height: 1.3; margin: 1rem 0 .5rem; font-weight: 600; }
h1.points-title { font-size: 1.5rem; line-height: 1.3; margin: 0 0 .75rem; font-weight: 600; }
a:focus-visible, button:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--points-accent); outline-offset: 2px; }
.points-skip { position: absolute; left: -999rem; }
.points-skip:focus { left: 1rem; top: 1rem; z-index: 9999; background: #fff; color: #000;
  padding: .5rem 1rem; }
.points-card { width: 100%; }
.points-page { max-width: 72rem; margin: 0 auto; padding: 1rem; width: 100%; }
.points-number { font-size: 1.6rem; font-variant-numeric: tabular-nums; }
.points-plain { font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.q-dialog__backdrop { z-index: 0; }
.q-dialog__inner { z-index: 1; }
.q-notification__actions .q-btn { color: #fff !important; }
.points-table { width: 100%; overflow-x: auto; }
.points-table .q-table__container, .points-table .q-table__middle { overflow: visible; }
.points-table .q-table__container { width: max-content; min-width: 100%; }
"""


Shown = TypeVar("Shown", bound=ui.element)


def named(element: Shown, text: str) -> Shown:
    """The element with its name for people who cannot see it, whatever characters the name has."""
    element.props["aria-label"] = text
    return element


class Console:
    """The screens' common ground."""

    def __init__(self, app: FastAPI, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    def screen(self, request: Request) -> Screen | RedirectResponse:
        """The person's screen; without a session the way to the sign-in."""
        session = self._sessions.find(request.cookies.get(COOKIE))
        if session is None:
            return RedirectResponse(PATH)
        session.use()
        identity = self._app.state.points.ledger.identity
        texts = Texts(session.language, identity.time_zone, identity.currency)
        return Screen(Asking(self._app, session, request), texts, session)


@contextmanager
def framed(screen: Screen, title: str, path: str) -> Iterator[None]:
    """The frame of a page, around what it shows. `path`: whose entry is marked as current."""
    say, session = screen.say, screen.session
    ui.page_title(f"{title} · Points Ledger")
    ui.add_css(STYLE)
    ui.add_head_html(f"<script>document.documentElement.lang = '{session.language}'</script>")
    dark = ui.dark_mode(session.dark)
    ui.colors(primary="#1e5a8a", negative="#a3120a", positive="#1b6e3c", info="#1e5a8a")
    client = ui.context.client
    client.on_delete(screen.asking.close)
    screen.asking.on_ended = lambda: client.run_javascript(f"location.href = '{PATH}'")
    skip, navigation, sign_out = say("Skip to the content"), say("Navigation"), say("Sign out")
    ui.link(skip, "#main").classes("points-skip")
    with ui.header().classes("items-center gap-2 no-wrap").style("background: #17364f"):
        menu = named(ui.button(icon="menu").props("flat color=white"), navigation)
        ui.link("Points Ledger", "/").classes("text-white no-underline text-lg")
        ui.space()
        _appearance(screen, dark)
        ui.label(session.name).classes("text-white gt-xs")
        with ui.element("form").props('method=post action="/console/sign-out"'):
            named(ui.button(icon="logout").props("type=submit flat color=white dense"), sign_out)
    drawer = ui.left_drawer(value=None, bordered=True)
    named(drawer.props("breakpoint=900 width=230 role=navigation"), navigation)
    menu.on_click(drawer.toggle)
    with drawer, ui.list().classes("w-full"):
        for place in PLACES:
            if not screen.asking.may(place.scope):
                continue
            current = place.path == path
            item = ui.item(on_click=None).props(f'href="/console{place.path}" tag=a')
            if current:
                item.props('active aria-current="page"')
            with item:
                with ui.item_section().props("avatar"):
                    ui.icon(place.icon).props("aria-hidden=true")
                with ui.item_section():
                    ui.item_label(say(place.label))
    # NiceGUI's page around it is the element `main`.
    with ui.element("div").props("id=main tabindex=-1").classes("points-page"):
        with ui.element("h1").classes("points-title"):
            ui.label(title)
        yield


def _appearance(screen: Screen, dark: ui.dark_mode) -> None:
    session = screen.session

    def turn() -> None:
        session.dark = not (dark.value if dark.value is not None else False)
        dark.set_value(session.dark)

    def speak(language: str) -> Callable[[], None]:
        def chosen() -> None:
            session.language = language
            ui.navigate.reload()

        return chosen

    light_or_dark = screen.say("Light or dark")
    contrast = ui.button(icon="contrast", on_click=turn).props("flat color=white dense")
    named(contrast, light_or_dark)
    other = "ru" if session.language == "en" else "en"
    name = {"en": "English", "ru": "Русский"}[other]
    named(ui.button(other.upper(), on_click=speak(other)).props("flat color=white dense"), name)


async def shown(work: Callable[[], Awaitable[None]]) -> None:
    """Do what a click asked; tell the person what was refused, and why."""
    try:
        await work()
    except Refused as refused:
        where = f" ({refused.path})" if refused.path else ""
        ui.notify(f"{refused.detail}{where}", type="negative", timeout=8_000, close_button="✕")
