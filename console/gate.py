"""The door of /console, before anything of it runs: who is not signed in gets the sign-in only.

The socket of a screen opens for the session's cookie and for pages of this very host. Every answer
forbids that other sites frame it.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.assets import Assets
from console.sessions import COOKIE, Sessions
from console.sign_in import HOME, PATH

FREE = (PATH, f"{HOME}/sign-out")
"""What is answered without a session."""

ASSETS = f"{HOME}/_nicegui/"
"""Scripts and styles, the same for everybody."""

POLICY_VIOLATION = 1008

HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; form-action 'self'; base-uri 'none';"
    " object-src 'none'; img-src 'self' data:",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """An ASGI layer around the application; see the module."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._assets = Assets(app)
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or not _of_console(path):
            await self._app(scope, receive, send)
            return
        known = self._sessions.find(HTTPConnection(scope).cookies.get(COOKIE)) is not None
        if scope["type"] == "websocket":
            if known and _own_origin(scope):
                await self._app(scope, receive, send)
                return
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if path.startswith(ASSETS):
            await self._assets(scope, receive, told)
        elif known or path in FREE:
            await self._app(scope, receive, told)
        else:
            await RedirectResponse(PATH, 303)(scope, receive, told)


def _of_console(path: str) -> bool:
    return path == HOME or path.startswith(f"{HOME}/")


def _own_origin(scope: Scope) -> bool:
    """A browser always tells the origin of a socket."""
    headers = Headers(scope=scope)
    return urlsplit(headers.get("origin", "")).netloc == headers.get("host")
