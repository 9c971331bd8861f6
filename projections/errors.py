"""What can go wrong in a projection. Each carries a stable code and a sentence for a human.

ProjectionError
├── LogDamaged          log_gap, log_undecodable, log_inconsistent: folding stops there
└── DatabaseLost        database_lost: no connection within the time allowed
"""


class ProjectionError(Exception):
    """`code` is stable for programs, `message` says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"[{code}] {message}")
        self.code = code
        self.message = message


class LogDamaged(ProjectionError):
    """The log at shard and position cannot be folded, and the message says why."""

    def __init__(self, code: str, shard: int, position: int, reason: str) -> None:
        super().__init__(
            code,
            f"shard {shard}, position {position}: {reason}; nothing after it was folded",
        )
        self.shard = shard
        self.position = position


class DatabaseLost(ProjectionError):
    """The database could not be reached for as long as the runner is allowed to try."""

    def __init__(self, seconds: int, reason: str) -> None:
        super().__init__(
            "database_lost",
            f"no database connection for {seconds} s ({reason}); start it and run this again, "
            "folding goes on where it stopped",
        )
