"""One attempt over real HTTP: signed as the specification's own library reads it, and bounded."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from api.webhooks import sending
from api.webhooks.attempts import Attempt, Ended
from api.webhooks.sending import Sender
from api.webhooks.signing import secret_text
from tests.api.webhooks.receiver import WAIT_SECONDS, Answer, Received, receiving

BODY = '{"type":"points.earned","timestamp":"2026-01-01T00:00:00Z","data":{"name":"ё"}}'.encode()
NEW, FORMER = bytes(range(32)), bytes(range(32, 64))


def sent(url: str, sender: Sender | None = None, *secrets: bytes) -> Ended:
    """One attempt."""

    async def send() -> Ended:
        used = sender or Sender(allow_private=True)
        try:
            return await used.send(Attempt("msg_a_1_2_0", url, BODY, secrets or (NEW,)))
        finally:
            await used.close()

    return asyncio.run(send())


def test_the_reference_library_verifies_it_with_either_secret() -> None:
    with receiving() as receiver:
        assert sent(receiver.url, None, NEW, FORMER).outcome == "done"
    (one,) = receiver.taken
    for secret in (NEW, FORMER):
        assert Webhook(secret_text(secret)).verify(one.body, one.headers)["data"]["name"] == "ё"
    assert one.headers["content-type"] == "application/json"
    assert one.id == "msg_a_1_2_0"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(b"x" * 32)).verify(one.body, one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(NEW)).verify(one.body + b" ", one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(NEW)).verify(one.body, {**one.headers, "webhook-id": "msg_b"})


@pytest.mark.parametrize(
    ("status", "header", "asked"),
    [(429, "7", 7), (503, " 90 ", 90), (503, "999999999999", 3_600), (429, "-5", 0),
     (429, "soon", 0), (429, "", 0), (500, "7", 0), (204, "7", 0), (429, "\u00b2", 0),
     (429, "Fri, 01 Jan 2999 00:00:00 +99999999999999999999", 0),
     (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0), (503, "Fri, 01 Jan 2999 00:00:00 GMT", 3_600)],
)  # fmt: skip
def test_what_a_receiver_asks_for(status: int, header: str, asked: float) -> None:
    with receiving() as receiver:
        receiver.decide = lambda _: Answer(status, headers=(("Retry-After", header),))
        assert sent(receiver.url).asked == asked


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "done"), (202, "done"), (204, "done"), (301, "failed"), (400, "failed"),
     (404, "failed"), (410, "gone"), (429, "failed"), (500, "failed"), (503, "failed")],
)  # fmt: skip
def test_what_an_answer_means(status: int, outcome: str) -> None:
    with receiving() as receiver:
        receiver.decide = lambda _: Answer(status, b"" if status == 204 else b"because")
        ended = sent(receiver.url)
    assert (ended.outcome, ended.status) == (outcome, status)
    assert ended.answer == ("" if status == 204 else "because")


def test_of_a_long_answer_a_kilobyte_is_kept() -> None:
    with receiving() as receiver:
        receiver.decide = lambda _: Answer(500, b"\x00\xff" + b"x" * 5_000_000)
        ended = sent(receiver.url)
    assert len(ended.answer) <= sending.ANSWER_BYTES_MAX
    assert "\x00" not in ended.answer
    assert ended.answer.endswith("xxx")


def test_who_answers_late_or_by_drops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.5)
    over = threading.Event()

    def late(_: Received) -> Answer:
        over.wait(WAIT_SECONDS)
        return Answer()

    with receiving() as receiver:
        receiver.decide = late
        ended = sent(receiver.url)
        over.set()
    assert (ended.outcome, ended.error) == ("failed", "timeout")


def test_where_nobody_listens() -> None:
    with receiving() as receiver:
        url = receiver.url
    ended = sent(url)
    assert (ended.outcome, ended.error, ended.status) == ("failed", "unreachable", None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate for hooks.example, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("host", "trusted", "outcome"),
    [("hooks.example", True, "done"), ("other.example", True, "failed"),
     ("hooks.example", False, "failed")],
)  # fmt: skip
def test_the_certificate_must_be_of_the_name_not_of_the_address(
    certificate: Path, host: str, trusted: bool, outcome: str
) -> None:
    async def resolver(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.1"]

    tls = ssl.create_default_context(cafile=str(certificate / "cert.pem") if trusted else None)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with receiving(serving) as receiver:
        sender = Sender(allow_private=True, resolver=resolver, tls=tls)
        ended = sent(f"https://{host}:{receiver.port}/hook", sender)
    assert ended.outcome == outcome, ended
    assert len(receiver.taken) == (outcome == "done")
