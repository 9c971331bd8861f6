"""Who is signed in: a cookie that names a session of this process, which holds the credentials.

The cookie is HttpOnly and SameSite=Strict: no script reads it and no other site's page sends it.
Credentials stay in memory; a restart of the process signs everybody out.
"""

import secrets
import time

from msgspec import Struct

COOKIE = "points_session"

SESSIONS_MAX = 1_000
"""Signed in at once; the one not used for longest is signed out."""

PER_PERSON_MAX = 20
"""Of them one person's (or one key's): desks, a telephone, forgotten windows. Beyond that his own
oldest ends, so that nobody signs the others out by signing in again and again."""

IDLE_SECONDS = 3_600
"""After an hour without a click a session ends: people leave their desks."""

AGE_SECONDS = 12 * 3_600
"""A working day: then the key is asked for again."""


class Session(Struct):
    """`token`: as it is sent to the API; `scopes`: what it allows; `language`: en or ru; `dark`:
    None follows the system; `ended`: signed out, here or in another window."""

    token: str
    name: str
    scopes: frozenset[str]
    began: float
    used: float
    language: str = "en"
    dark: bool | None = None
    ended: bool = False

    def lives(self) -> bool:
        """Whether its person is still signed in. Asking does not keep it alive."""
        now = time.monotonic()
        if now - self.used > IDLE_SECONDS or now - self.began > AGE_SECONDS:
            self.ended = True
        return not self.ended

    def use(self) -> None:
        """The person did something: the hour begins anew."""
        self.used = time.monotonic()


class Sessions:
    """The sessions of one process."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def begin(self, token: str, name: str, scopes: frozenset[str], language: str) -> str:
        """A new session; what the cookie is to hold."""
        now = time.monotonic()
        cookie = secrets.token_urlsafe(32)
        own = [each for each, session in self._sessions.items() if session.name == name]
        for each in own[: max(0, len(own) + 1 - PER_PERSON_MAX)]:  # in the order of their beginning
            self.end(each)
        while len(self._sessions) >= SESSIONS_MAX:
            self.end(min(self._sessions, key=lambda each: self._sessions[each].used))
        self._sessions[cookie] = Session(token, name, scopes, now, now, language)
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, unless it ended. Looking does not keep it alive."""
        session = self._sessions.get(cookie or "")
        if session is None or session.lives():
            return session
        self.end(cookie)
        return None

    def end(self, cookie: str | None) -> None:
        """Sign out: what is open of the session may ask nothing any more."""
        session = self._sessions.pop(cookie or "", None)
        if session is not None:
            session.ended = True
