"""What the pure core raises when an input is impossible.

A business refusal is no error: it is an event. Undecidable means that nothing was decided and
nothing changed, so that the input can be put aside (dead letter) and tried again.
"""


class Undecidable(Exception):
    """The input cannot be decided. `code` is stable, `path` names the field, the message says
    what is wrong with it."""

    def __init__(self, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.message = message


class InvariantBroken(AssertionError):
    """An impossible state: the code or the log is wrong, never the input. `number` is that of the
    invariant (docs/domain.md). Nothing may be stored after it."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"invariant {number} is broken: {message}")
        self.number = number
        self.message = message
