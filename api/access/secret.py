"""What an API key looks like, and what is kept of it.

`pl_<id>_<secret>`: the id finds the key and is no secret; the secret has 240 random bits. Of it the
SHA-256 is stored. A slow hash (Argon2, bcrypt) is for passwords, which people choose and others can
guess: 2**240 values cannot be tried at any speed, and a till's every request would pay for it.
"""

import base64
import hmac
import re
import secrets
from hashlib import sha256

from msgspec import Struct

PREFIX = "pl_"

ID_BYTES = 5
"""Eight characters: enough that two keys of a ledger do not share an id."""

SECRET_BYTES = 30
"""240 bits, 48 characters."""

_SHAPE = re.compile(r"pl_(?P<id>[a-z2-7]{8})_(?P<secret>[a-z2-7]{48})")

_MASKED = re.compile(r"pl_[A-Za-z0-9_]{8,}")


class Secret(Struct, frozen=True):
    """A key as its holder has it."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """What is sent in `Authorization: Bearer …`."""
        return f"{PREFIX}{self.id}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """What is stored."""
        return sha256(self.secret.encode()).digest()

    def __repr__(self) -> str:
        """Without the secret: this may end in a log."""
        return f"Secret({self.id})"


def made() -> Secret:
    """A new one."""
    return Secret(_random(ID_BYTES), _random(SECRET_BYTES))


def parsed(text: str) -> Secret | None:
    """The key that `text` is; None when it has another shape."""
    found = _SHAPE.fullmatch(text)
    return None if found is None else Secret(found["id"], found["secret"])


def is_of(given: Secret, digest: bytes) -> bool:
    """Whether the stored digest is of this secret, in a time that does not tell how much agrees."""
    return hmac.compare_digest(given.digest, digest)


def masked(text: str) -> str:
    """The text without what looks like a key: it may have been put into a path by mistake."""
    return _MASKED.sub("pl_…", text)


def _random(count: int) -> str:
    return base64.b32encode(secrets.token_bytes(count)).decode().lower()
