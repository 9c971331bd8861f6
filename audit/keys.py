"""The keys that checkpoints are signed and checked with: Ed25519, as PEM files.

The private key's file is its owner's alone (mode 0600). Whoever has it can sign a checkpoint of
another log: keep it where no one who can write to the database can read it.
"""

import os
import stat
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from audit.errors import AuditRefused

PRIVATE_MODE = 0o600
"""Of the private key's file: nobody but its owner reads it."""


def generate(private: Path, public: Path) -> str:
    """Write a new pair; the public key's id. Raises AuditRefused (key_exists), OSError."""
    for path in (private, public):
        if path.exists():
            raise AuditRefused(
                f"{path} is there already: a key that signed checkpoints must not be lost; name"
                " another file.",
                "key_exists",
            )
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as file:
        file.write(pem)
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return key_id(key.public_key())


def read_private(path: Path) -> Ed25519PrivateKey:
    """The key of a file. Raises AuditRefused (bad_key, key_not_private), OSError."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise AuditRefused(
            f"Others may read {path}, the key that signs checkpoints: chmod 600 it, or make a new"
            " one if they have.",
            "key_not_private",
        )
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad(path)
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """The key of a file. Raises AuditRefused (bad_key), OSError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad(path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _bad(path)
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """By which a checkpoint names the key that signed it."""
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _bad(path: Path) -> AuditRefused:
    return AuditRefused(
        f"{path} holds no Ed25519 key of this kind: make a pair with `points audit keygen`.",
        "bad_key",
    )
