"""A real OIDC issuer: real keys, served by a real HTTP server on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "points-ledger"


def rsa_key(bits: int = 2_048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def public_jwk(key: Any, kid: str | None) -> dict[str, Any]:
    """The public half as an issuer publishes it."""
    kinds: tuple[tuple[type, Any], ...] = (
        (rsa.RSAPrivateKey, RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, ECAlgorithm),
        (ed25519.Ed25519PrivateKey, OKPAlgorithm),
    )
    algorithm = next(found for kind, found in kinds if isinstance(key, kind))
    document: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    document.pop("key_ops", None)
    return document | ({"kid": kid} if kid is not None else {}) | {"use": "sig"}


class Issuer:
    """Its signing key, what it publishes, and how often it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = rsa_key()
        self.published = [public_jwk(self.key, "k1")]
        self.asked: list[str] = []
        self.broken = False

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "anna@shop.example",
            "iat": now,
            "exp": now + 300,
            "roles": ["agent", "not-one-of-ours"],
        } | other
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        *,
        key: Any = None,
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A signed token; a claim that is None is left out."""
        return jwt.encode(
            self.claims(**claims),
            self.key if key is None else key,
            algorithm=algorithm,
            headers={"kid": "k1"} if headers is None else headers,
        )


@contextmanager
def running() -> Iterator[Issuer]:
    """An issuer that answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            found: Any = None
            if self.path == "/.well-known/openid-configuration":
                found = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
            elif self.path == "/keys":
                found = {"keys": issuer.published}
            body = json.dumps(found).encode()
            self.send_response(503 if issuer.broken else 200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
