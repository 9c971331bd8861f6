"""Who is signed in: a cookie that names a session of this process, which holds the credentials.

The cookie is HttpOnly and SameSite=Strict: no script reads it and no other site's page sends it.
Credentials stay in memory; a restart of the process signs everybody out.
"""

import secrets
import time
from collections import OrderedDict

from msgspec import Struct

COOKIE = "points_session"

SESSIONS_MAX = 1_000
"""Signed in at once; the one not used for longest is signed out."""

IDLE_SECONDS = 3_600
"""After an hour without a click a session ends: people leave their desks."""

AGE_SECONDS = 12 * 3_600
"""A working day: then the key is asked for again."""


class Session(Struct):
    """`token`: as it is sent to the API; `scopes`: what it allows; `language`: en or ru; `dark`:
    None follows the system."""

    token: str
    name: str
    scopes: frozenset[str]
    began: float
    used: float
    language: str = "en"
    dark: bool | None = None


class Sessions:
    """The sessions of one process."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, token: str, name: str, scopes: frozenset[str], language: str) -> str:
        """A new session; what the cookie is to hold."""
        now = time.monotonic()
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = Session(token, name, scopes, now, now, language)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, unless it ended; using it keeps it alive."""
        session = self._sessions.get(cookie or "")
        if session is None or cookie is None:
            return None
        now = time.monotonic()
        if now - session.used > IDLE_SECONDS or now - session.began > AGE_SECONDS:
            del self._sessions[cookie]
            return None
        session.used = now
        self._sessions.move_to_end(cookie)
        return session

    def end(self, cookie: str | None) -> None:
        """Sign out."""
        self._sessions.pop(cookie or "", None)
