"""The door of the console: who is not signed in reaches nothing behind it."""

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from console.gate import Gate
from console.sessions import COOKIE, Sessions

SOCKET = "/console/_nicegui_ws/socket.io/"
OWN = {"origin": "http://testserver"}


@pytest.fixture
def gate() -> tuple[TestClient, str]:
    """A client without a cookie, and the cookie of a session."""
    app, sessions = FastAPI(), Sessions()

    @app.websocket(SOCKET)
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("in")
        await websocket.close()

    @app.get("/{path:path}")
    async def behind(path: str) -> str:
        return path

    app.add_middleware(Gate, sessions=sessions)
    client = TestClient(app, follow_redirects=False)
    return client, sessions.begin("token", "anna", frozenset(), "en")


def heard(client: TestClient, headers: dict[str, str]) -> bool:
    try:
        with client.websocket_connect(SOCKET, headers=headers) as socket:
            return socket.receive_text() == "in"
    except WebSocketDisconnect:
        return False


def test_pages_need_a_session(gate: tuple[TestClient, str]) -> None:
    client, cookie = gate
    for path in ("/console", "/console/members", SOCKET, "/console/_nicegui_ws/x"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers.get("location")) == (303, "/console/sign-in")
        signed_in = client.get(path, headers={"cookie": f"{COOKIE}={cookie}"})
        assert signed_in.status_code == 200
        assert signed_in.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in signed_in.headers["content-security-policy"]
    for path in ("/console/sign-in", "/console/_nicegui/3/static/x.js", "/consoles", "/v1/me"):
        assert client.get(path).status_code == 200


def test_the_socket_needs_a_session_and_the_own_origin(gate: tuple[TestClient, str]) -> None:
    client, cookie = gate
    mine = {"cookie": f"{COOKIE}={cookie}"}
    assert heard(client, mine | OWN)
    assert not heard(client, OWN)
    assert not heard(client, mine | {"origin": "https://evil.example"})
    assert not heard(client, mine)
