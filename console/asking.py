"""The screens' way to the API: its own operations, called in process."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI, Request

from console.sessions import Session

ASK_SECONDS = 30.0
"""As long as the API itself takes at most."""


class Refused(Exception):
    """The API's problem, for a person: its sentence and its code."""

    def __init__(self, status: int, code: str, detail: str, path: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.path = path


class Asking:
    """Calls of one person, as long as the session lives. `on_ended`: called when a call is refused
    because it does not. `page`: what the person asked the console for; its address is theirs."""

    def __init__(self, app: FastAPI, session: Session, page: Request) -> None:
        self._session = session
        self.on_ended: Callable[[], object] | None = None
        address = (page.client.host, page.client.port) if page.client is not None else ("", 0)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=address)
        self._http = httpx.AsyncClient(
            transport=transport, base_url="http://console", timeout=ASK_SECONDS
        )

    def may(self, scope: str) -> bool:
        """Whether the person has a scope: what they may not do is not offered."""
        return scope in self._session.scopes

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON answer to a question. Raises Refused."""
        told = {name: value for name, value in params.items() if value not in (None, "")}
        return await self._send("GET", path, params=told)

    async def look(self, path: str) -> Any:
        """As `get`, of a timer and not of a person: it does not keep the session alive."""
        return await self._send("GET", path, used=False)

    async def text(self, path: str, accept: str, **params: Any) -> bytes:
        """An answer in another form, for a download. Raises Refused."""
        told = {name: value for name, value in params.items() if value not in (None, "")}
        headers = {**self._headers(used=True), "Accept": accept}
        answer = await self._http.get("/v1" + path, params=told, headers=headers)
        _checked(answer)
        return answer.content

    async def change(
        self, path: str, body: Mapping[str, Any], *, method: str = "POST", key: str | None = None
    ) -> Any:
        """Make a change; `key`: the same when a form is sent again. Raises Refused."""
        return await self._send(
            method, path, json=dict(body), headers={"Idempotency-Key": key or uuid4().hex}
        )

    async def close(self) -> None:
        """Free what the calls used."""
        await self._http.aclose()

    def _headers(self, *, used: bool) -> dict[str, str]:
        """Raises Refused (401 signed_out)."""
        if not self._session.lives():
            if self.on_ended is not None:
                self.on_ended()
            raise Refused(401, "signed_out", "You are signed out: sign in again.")
        if used:
            self._session.use()
        return {"Authorization": f"Bearer {self._session.token}"}

    async def _send(self, method: str, path: str, *, used: bool = True, **more: Any) -> Any:
        headers = {**self._headers(used=used), **more.pop("headers", {})}
        answer = await self._http.request(method, "/v1" + path, headers=headers, **more)
        _checked(answer)
        return answer.json() if answer.content else None


def _checked(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    raise Refused(
        answer.status_code,
        str(problem.get("code", "http_error")),
        str(problem.get("detail", f"The API answered {answer.status_code}.")),
        str(problem.get("path", "")),
    )
