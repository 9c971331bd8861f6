"""No private address is called: however it is written, whatever the name says a moment later."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from api.webhooks.addresses import checked_url, is_public, refuse_private
from api.webhooks.attempts import Attempt, Ended
from api.webhooks.errors import WebhookRefused
from api.webhooks.sending import Sender
from tests.api.webhooks.receiver import Answer, Receiver, receiving

PRIVATE = (
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1",
    "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "2001:db8::1", "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
)  # fmt: skip

PUBLIC = (
    "8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700::1111",
    "::ffff:8.8.8.8", "64:ff9b::808:808",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address(address: str) -> None:
    assert is_public(address)


HOSTS = (
    "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "[fd00:ec2::254]",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_such_a_url_is_refused_when_it_is_added(host: str) -> None:
    with pytest.raises(WebhookRefused) as refused:
        refuse_private(f"https://{host}/hook", allow_private=False)
    assert refused.value.code == "private_address"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/", "https_required"),
        ("ftp://example.com/", "bad_url"),
        ("https://user:secret@example.com/", "bad_url"),
        ("https:///path", "bad_url"),
        ("https://example.com/#part", "bad_url"),
        ("https://example.com/a b", "bad_url"),
        ("https://exämple.com/", "bad_url"),
        ("https://example.com:99999/", "bad_url"),
        ("https://[::1/", "bad_url"),
        ("https://example.com\\@127.0.0.1/", "bad_url"),
        ("https://example.com/\r\nx: y", "bad_url"),
        ("https://example.com/" + "x" * 2_048, "bad_url"),
        ("javascript:alert(1)", "bad_url"),
        ("", "bad_url"),
    ],
)
def test_a_text_that_is_no_url_of_a_webhook(url: str, code: str) -> None:
    with pytest.raises(WebhookRefused) as refused:
        checked_url(url, allow_private=False)
    assert refused.value.code == code


def sent(sender: Sender, url: str) -> Ended:
    """One attempt."""

    async def send() -> Ended:
        try:
            return await sender.send(Attempt("msg_1", url, b"{}", (b"s" * 32,)))
        finally:
            await sender.close()

    return asyncio.run(send())


def saying(*answers: Sequence[str]) -> tuple[Sender, list[str]]:
    """A sender whose resolver says these in turn, and the hosts that it was asked for."""
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return Sender(allow_private=False, resolver=resolver), asked


@pytest.mark.parametrize("host", [*HOSTS, "localhost.localdomain"])
def test_nothing_private_is_called_when_it_is_sent(host: str) -> None:
    with receiving() as receiver:
        ended = sent(Sender(allow_private=False), f"https://{host}:{receiver.port}/hook")
    assert ended.outcome == "failed"
    assert ended.error in ("private_address", "unresolved", "bad_url")
    assert receiver.taken == []


@pytest.mark.parametrize(
    "answer", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["169.254.169.254"]]
)
def test_a_name_that_resolves_to_a_private_address(answer: list[str]) -> None:
    sender, asked = saying(answer)
    ended = sent(sender, "https://hooks.example/hook")
    assert (ended.error, asked) == ("private_address", ["hooks.example"])
    assert answer[-1] in ended.answer


def test_the_address_checked_is_the_address_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that says something else from one question to the next is asked once."""
    called: list[tuple[str, str, str]] = []

    async def record(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        called.append(
            (request.url.host, request.headers["host"], request.extensions["sni_hostname"])
        )
        return httpx.Response(204, stream=httpx.ByteStream(b""))

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", record)
    sender, asked = saying(["93.184.215.14"], ["127.0.0.1"])
    ended = sent(sender, "https://hooks.example:8443/hook")
    assert ended.outcome == "done"
    assert asked == ["hooks.example"]
    assert called == [("93.184.215.14", "hooks.example:8443", "hooks.example")]


def test_a_redirect_is_not_followed() -> None:
    with receiving() as inner, receiving() as outer:
        outer.decide = lambda _: Answer(302, b"", (("location", inner.url),))
        ended = sent(Sender(allow_private=True), outer.url)
    assert (ended.outcome, ended.status, ended.error) == ("failed", 302, "http_status")
    assert len(outer.taken) == 1
    assert inner.taken == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert sent(Sender(allow_private=True), receiver.url).outcome == "done"
    assert proxy.taken == []
    assert len(receiver.taken) == 1


def test_another_address_of_the_host_is_tried() -> None:
    with receiving() as receiver:
        sender = _named(receiver, "127.0.0.9", "127.0.0.1")
        # Nothing listens on the first one.
        assert sent(sender, f"http://hooks.example:{receiver.port}/").outcome == "done"
    (one,) = receiver.taken
    assert one.headers["host"] == f"hooks.example:{receiver.port}"


def _named(receiver: Receiver, *addresses: str) -> Sender:
    async def resolver(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("hooks.example", receiver.port)
        return addresses

    return Sender(allow_private=True, resolver=resolver)
