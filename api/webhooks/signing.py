"""Secrets and signatures as the Standard Webhooks specification has them (symmetric, `v1`)."""

import base64
import hashlib
import hmac

SECRET_PREFIX = "whsec_"

SECRET_BYTES = 32
"""Of a new secret; the specification asks for 24 to 64."""


def secret_text(secret: bytes) -> str:
    """A secret as its owner is shown it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secret: bytes, id_: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over id, timestamp and body, as the specification writes it."""
    digest = hmac.new(secret, b"%s.%d.%s" % (id_.encode(), timestamp, body), hashlib.sha256)
    return "v1," + base64.b64encode(digest.digest()).decode()
