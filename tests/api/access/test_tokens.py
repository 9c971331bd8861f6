"""Tokens of an OIDC issuer: signed by real keys, checked against what a real server publishes."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.utils import base64url_encode

from api.access import issuer as issuers
from api.access.tokens import TOKEN_CHARACTERS_MAX, person_id, roles_of
from ledger.errors import StartRefused
from ledger.settings import load_settings
from schemas.fields import ID_PATTERN
from tests.api.access.callers import Api, code_of
from tests.api.access.issuers import AUDIENCE, Issuer, public_jwk, rsa_key, running

Play = Callable[..., Any]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running() as found:
        yield found


@pytest.fixture
def with_issuer(play: Play, issuer: Issuer) -> Play:
    """Stories with an API that takes this issuer's tokens."""

    def run(story: Any, **changed: object) -> Any:
        more = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE} | changed
        return play(story, **more)

    return run


async def asked(api: Api, token: str) -> tuple[int, str]:
    return code_of(await api.call("GET", "/v1/me", token))


def test_a_person_signs_in(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        answer = await api.call("GET", "/v1/me", issuer.token())
        assert answer.status_code == 200
        told = answer.json()
        assert told["name"] == told["person"] == person_id(issuer.url, "anna@shop.example")
        assert "anna" not in answer.text
        assert "adjust" in told["scopes"]
        assert "approve" not in told["scopes"]
        other = await api.call("GET", "/v1/me", issuer.token(sub="boris"))
        assert other.json()["person"] != told["person"]
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]

    with_issuer(story)


def test_a_person_without_a_role_may_do_nothing(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        for roles in (None, [], ["root"], {"agent": True}, 7):
            answer = await api.call("GET", "/v1/me", issuer.token(roles=roles))
            assert answer.json()["scopes"] == []

    with_issuer(story)


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"aud": "another"},
    {"aud": None},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"sub": None},
    {"sub": 7},
    {"exp": None},
    {"nbf": int(time.time()) + 3_600},
    {"iat": int(time.time()) + 3_600},
]


def test_claims_that_are_refused(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        for other in WRONG_CLAIMS:
            assert await asked(api, issuer.token(**other)) == (401, "bad_token"), other

    with_issuer(story)


def test_an_expired_token(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        late = int(time.time()) - 31
        assert await asked(api, issuer.token(exp=late)) == (401, "token_expired")
        assert (await api.call("GET", "/v1/me", issuer.token(exp=late + 11))).status_code == 200

    with_issuer(story)


def test_a_token_known_from_before_ends_too(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        tokens = api.layer.tokens
        assert tokens is not None
        token = issuer.token()
        assert (await api.call("GET", "/v1/me", token)).status_code == 200
        assert tokens.known(token) is not None
        tokens._clock = lambda: time.time() + 400
        assert tokens.known(token) is None

    with_issuer(story)


def unsigned(issuer: Issuer, algorithm: str) -> str:
    header = base64url_encode(json.dumps({"alg": algorithm, "kid": "k1", "typ": "JWT"}).encode())
    body = base64url_encode(json.dumps(issuer.claims(roles=["operator"])).encode())
    return f"{header.decode()}.{body.decode()}."


def test_a_token_without_a_signature(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        for algorithm in ("none", "None", "NONE", "HS256", "RS256", ""):
            assert await asked(api, unsigned(issuer, algorithm)) == (401, "bad_token")

    with_issuer(story)


def test_a_token_signed_with_the_public_key_as_a_shared_secret(
    with_issuer: Play, issuer: Issuer
) -> None:
    import hmac

    pem = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    async def story(api: Api) -> None:
        for name, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            signed = unsigned(issuer, name).rstrip(".")
            signature = base64url_encode(hmac.digest(pem, signed.encode(), digest)).decode()
            assert await asked(api, f"{signed}.{signature}") == (401, "bad_token")

    with_issuer(story)


def test_forged_signatures(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        forged = issuer.token(key=rsa_key(), roles=["operator"])
        assert await asked(api, forged) == (401, "bad_token")
        head, body, signature = issuer.token().split(".")
        claims = base64url_encode(json.dumps(issuer.claims(roles=["operator"])).encode()).decode()
        assert await asked(api, f"{head}.{claims}.{signature}") == (401, "bad_token")
        flipped = ("A" if signature[9] != "A" else "B").join((signature[:9], signature[10:]))
        assert await asked(api, f"{head}.{body}.{flipped}") == (401, "bad_token")
        # A key that the token itself brings, and places to fetch one from, are not looked at.
        mine = rsa_key()
        for headers in (
            {"kid": "k1", "jwk": public_jwk(mine, "k1")},
            {"kid": "k1", "jku": f"{issuer.url}/mine", "x5u": f"{issuer.url}/mine"},
            {"kid": "../../k1"},
            {"kid": "k1' OR '1'='1"},
            {"kid": "k1", "crit": ["exp"]},
        ):
            assert await asked(api, issuer.token(key=mine, headers=headers)) == (401, "bad_token")
        assert "/mine" not in issuer.asked

    with_issuer(story)


def test_an_algorithm_that_is_not_the_keys(with_issuer: Play, issuer: Issuer) -> None:
    issuer.published = [public_jwk(issuer.key, "k1") | {"alg": "RS256"}]

    async def story(api: Api) -> None:
        assert (await api.call("GET", "/v1/me", issuer.token())).status_code == 200
        assert await asked(api, issuer.token(algorithm="PS256")) == (401, "bad_token")
        assert await asked(api, issuer.token(algorithm="RS512")) == (401, "bad_token")

    with_issuer(story)


def test_other_algorithms(with_issuer: Play, issuer: Issuer) -> None:
    signing = {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "PS256": rsa_key(),
    }
    issuer.published = [public_jwk(key, name) for name, key in signing.items()]

    async def story(api: Api) -> None:
        for name, key in signing.items():
            token = issuer.token(key=key, algorithm=name, headers={"kid": name})
            assert (await api.call("GET", "/v1/me", token)).status_code == 200
            other = issuer.token(key=key, algorithm=name, headers={"kid": "RS256"})
            assert await asked(api, other) == (401, "bad_token")

    with_issuer(story)


def test_keys_that_are_not_for_signatures_or_too_weak(issuer: Issuer) -> None:
    strong = public_jwk(issuer.key, "k1")
    assert issuers.usable(strong)
    assert not issuers.usable(strong | {"use": "enc"})
    assert not issuers.usable(strong | {"key_ops": ["encrypt"]})
    assert not issuers.usable(strong | {"alg": "HS256"})
    assert not issuers.usable(strong | {"n": "AQAB"})
    assert not issuers.usable({"kty": "oct", "k": base64.b64encode(bytes(32)).decode()})
    assert not issuers.usable({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"})
    assert not issuers.usable(public_jwk(rsa_key(1_024), "k1"))


def test_a_new_key_is_fetched_at_once_and_invented_ones_hardly_ever(
    with_issuer: Play, issuer: Issuer
) -> None:
    async def story(api: Api) -> None:
        tokens = api.layer.tokens
        assert tokens is not None
        clock = [1_000.0]
        tokens._issuer._clock = lambda: clock[0]
        assert (await api.call("GET", "/v1/me", issuer.token())).status_code == 200
        fetched = issuer.asked.count("/keys")
        newer = rsa_key()
        issuer.published.append(public_jwk(newer, "k2"))
        token = issuer.token(key=newer, headers={"kid": "k2"})
        assert await asked(api, token) == (401, "bad_token")  # just asked: not again so soon
        clock[0] += issuers.REFETCH_SECONDS
        assert (await api.call("GET", "/v1/me", token)).status_code == 200
        assert issuer.asked.count("/keys") == fetched + 1
        clock[0] += issuers.REFETCH_SECONDS
        for number in range(10):
            invented = issuer.token(headers={"kid": f"k-{number}"})
            assert await asked(api, invented) == (401, "bad_token")
        assert issuer.asked.count("/keys") == fetched + 2

    with_issuer(story)


def test_an_issuer_that_does_not_answer(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        tokens = api.layer.tokens
        assert tokens is not None
        clock = [1_000.0]
        tokens._issuer._clock = lambda: clock[0]
        issuer.broken = True
        answer = await api.call("GET", "/v1/me", issuer.token())
        assert code_of(answer) == (503, "issuer_unavailable")
        issuer.broken = False
        clock[0] += issuers.REFETCH_SECONDS
        assert (await api.call("GET", "/v1/me", issuer.token())).status_code == 200
        issuer.broken = True  # what is known goes on for a day
        clock[0] += issuers.FRESH_SECONDS
        assert (await api.call("GET", "/v1/me", issuer.token(sub="boris"))).status_code == 200
        clock[0] += issuers.STALE_SECONDS
        answer = await api.call("GET", "/v1/me", issuer.token(sub="clara"))
        assert code_of(answer) == (503, "issuer_unavailable")

    with_issuer(story)


def test_a_discovery_document_of_another_issuer(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        token = issuer.token()
        issuer.url = "https://other.example"
        answer = await api.call("GET", "/v1/me", token)
        assert code_of(answer) == (503, "issuer_unavailable")

    with_issuer(story)


def test_without_an_issuer_no_token_is_taken(play: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        assert await asked(api, issuer.token()) == (401, "bad_key")
        assert issuer.asked == []

    play(story)


NO_CREDENTIALS = (
    "Basic YTpi",
    "Bearer",
    "Bearer ",
    "pl_aaaaaaaa",
    "Bearer " + "x" * (TOKEN_CHARACTERS_MAX + 1),
    "Bearer " + "a." * 3_000,
    "Bearer ..",
    "Bearer a.b.c",
    "Bearer e30.e30.e30",
    "Bearer \xff\xfe",
    "Bearer ' OR 1=1 --",
)


def test_credentials_that_are_none(with_issuer: Play) -> None:
    async def story(api: Api) -> None:
        for value in NO_CREDENTIALS:
            sent = [(b"Authorization", value.encode("latin-1"))]
            answer = await api.client.get("/v1/me", headers=sent)
            assert answer.status_code == 401, value
            assert "www-authenticate" in answer.headers
            assert "Traceback" not in answer.text

    with_issuer(story)


def test_two_authorization_headers(with_issuer: Play, issuer: Issuer) -> None:
    async def story(api: Api) -> None:
        sent = (b"Authorization", f"Bearer {issuer.token()}".encode())
        answer = await api.client.get("/v1/me", headers=[sent, sent])
        assert code_of(answer) == (401, "bad_credentials")

    with_issuer(story)


def test_where_roles_are_found() -> None:
    claims = {
        "roles": "agent viewer x",
        "realm_access": {"roles": ["auditor", 7]},
        "https://points.example/roles": ["operator"],
    }
    assert roles_of(claims, "roles") == {"agent", "viewer"}
    assert roles_of(claims, "realm_access.roles") == {"auditor"}
    assert roles_of(claims, "https://points.example/roles") == {"operator"}
    assert roles_of(claims, "realm_access.roles.x") == frozenset()
    assert roles_of(claims, "missing") == frozenset()


def test_a_persons_id_is_one_of_the_ledgers() -> None:
    import re

    assert re.fullmatch(ID_PATTERN, person_id("https://a.example", "müller@example"))
    assert person_id("https://a.example", "x") != person_id("https://b.example", "x")


@pytest.mark.parametrize(
    "environ",
    [
        {"POINTS_OIDC_ISSUER": "https://login.example"},
        {"POINTS_OIDC_ISSUER": "http://login.example", "POINTS_OIDC_AUDIENCE": "a"},
        {"POINTS_OIDC_ISSUER": "http://localhost.evil.example", "POINTS_OIDC_AUDIENCE": "a"},
        {"POINTS_OIDC_JWKS_URL": "file:///etc/passwd"},
        {"POINTS_OIDC_JWKS_URL": "https://user:password@login.example/keys"},
    ],
    ids=range(5),
)
def test_settings_that_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(StartRefused) as refused:
        load_settings(environ)
    assert refused.value.code == "bad_setting"


@pytest.mark.parametrize("algorithm", [["RS256"], {"RS256": 1}, 5, None, True, "x" * 1_000])
def test_an_algorithm_that_is_none_is_a_refusal(with_issuer: Play, algorithm: object) -> None:
    """Not a failure of ours, and it counts against its address."""
    header = base64url_encode(json.dumps({"alg": algorithm, "kid": "k"}).encode()).decode()
    body = base64url_encode(b"{}").decode()

    async def story(api: Api) -> None:
        assert await asked(api, f"{header}.{body}.{body}") == (401, "bad_token")

    with_issuer(story)
