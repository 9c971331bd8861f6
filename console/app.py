"""The console, attached to the API's application."""

import secrets

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui

from console.frame import Console
from console.gate import Gate
from console.pages import (
    approvals,
    campaigns,
    member,
    members,
    operations,
    overview,
    programs,
    reports,
)
from console.sessions import Sessions
from console.sign_in import HOME, routes

RECONNECT_SECONDS = 10.0
"""A laptop that was away so long goes on with the screen it had."""


def attach(app: FastAPI) -> None:
    """Add the screens under /console."""
    sessions = Sessions()
    app.include_router(routes(app, sessions))
    console = Console(app, sessions)
    for page in (overview, members, member, programs, campaigns, approvals, reports, operations):
        page.register(console)
    # The bar of running requests has no name for who cannot see it, and comes and goes by chance.
    nicegui_app.config.quasar_config["loadingBar"]["skipHijack"] = True
    ui.run_with(
        app,
        mount_path=HOME,
        title="Points Ledger",
        reconnect_timeout=RECONNECT_SECONDS,
        storage_secret=secrets.token_urlsafe(32),
        show_welcome_message=False,
    )
    app.add_middleware(Gate, sessions=sessions)
