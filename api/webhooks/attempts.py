"""What is sent in one attempt, and how it ended."""

from typing import Literal, NamedTuple


class Attempt(NamedTuple):
    """What is to be sent: `secrets`: the current one first."""

    id: str
    url: str
    body: bytes
    secrets: tuple[bytes, ...]


class Ended(NamedTuple):
    """How an attempt ended. `gone`: the endpoint says that it is no more. `error`: None, or what
    went wrong: http_status, timeout, unreachable, broken, unresolved, private_address, bad_url,
    https_required. `asked`: seconds for which the receiver wants to be left alone, 0 if it did not
    say."""

    outcome: Literal["done", "failed", "gone"]
    status: int | None
    answer: str
    error: str | None
    seconds: float
    asked: float = 0.0
