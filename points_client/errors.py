"""What a call raises."""

from typing import Any


class PointsError(Exception):
    """Base of all."""


class Problem(PointsError):
    """The server's answer that it does not do what was asked (RFC 9457). `code`: stable; `path`:
    the field at fault, or ""; `status`: the HTTP status; `detail`: a sentence for a human; `key`:
    the Idempotency-Key it was sent under; "" for a question."""

    def __init__(self, status: int, body: dict[str, Any], key: str = "") -> None:
        self.status = status
        self.key = key
        self.code = str(body.get("code", "http_error"))
        self.detail = str(body.get("detail", f"The server answered {status}."))
        self.path = str(body.get("path", ""))
        self.correlation_id = str(body.get("correlation_id", ""))
        super().__init__(f"{self.detail} [{self.code}]")


class Unavailable(PointsError):
    """No answer after all tries, or only that the server is busy or failed. Whether a change was
    made is not known: the same call with `key` finds out. `key`: the Idempotency-Key it was sent
    under; "" for a question."""

    def __init__(self, what: str, key: str) -> None:
        self.key = key
        super().__init__(what)
