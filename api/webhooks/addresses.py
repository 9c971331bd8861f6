"""Which addresses may be called: none that is private, unless it is allowed.

A webhook's URL is a text of somebody else. Without these checks whoever may add one could reach
what only this machine reaches: the database, a cloud's metadata, a neighbour's console. The name
is resolved, every address that it has is checked, and the connection goes to an address that was
checked; a name that says something else a moment later changes nothing. Ways of writing an address
(decimal, hexadecimal, short) need no care of their own: they are resolved like a name.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from api.webhooks.errors import WebhookRefused

URL_CHARACTERS_MAX = 2_048
"""Of a URL: what servers accept."""

URL_PATTERN = (
    r"^[Hh][Tt][Tt][Pp][Ss]?://"
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?)"
    r"(:[1-9][0-9]{0,4})?([/?][!-\"$-\[\]-~]*)?$"
)
"""What a URL looks like at least: a host, perhaps a port, neither a user nor a part after #."""

RESOLVE_SECONDS = 5.0
"""For a name to be resolved: as long as a connection may take."""

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""From host and port to the texts of all addresses. Raises OSError."""

_URL = re.compile(URL_PATTERN)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
"""Teredo and 6to4: they hold another address, to which a relay would pass on."""


class AddressRefused(Exception):
    """The host must not be called; `code` is told with the delivery."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def is_public(text: str) -> bool:
    """Whether an address is one of the internet's, and nobody's own."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = IPv4Address(address.packed[-4:])
        elif address not in _GLOBAL or any(address in tunnel for tunnel in _TUNNELS):
            return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, as the system knows them. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return _texts(found)


def _texts(found: Sequence[tuple[object, object, object, object, tuple[object, ...]]]) -> list[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses_of(host: str, port: int, resolver: Resolver, allow_private: bool) -> list[str]:
    """The addresses of a host that may be called. Raises AddressRefused (unresolved,
    private_address)."""
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = list(await resolver(host, port))
    except (OSError, UnicodeError) as error:  # a timeout is an OSError, too
        raise AddressRefused("unresolved", f"{host} cannot be resolved: {error}.") from error
    if not found:
        raise AddressRefused("unresolved", f"{host} has no address.")
    if not allow_private:
        for address in found:
            if not is_public(address):
                raise AddressRefused(
                    "private_address",
                    f"{host} has the address {address}, which is not one of the internet's.",
                )
    return found


def checked_url(url: str, *, allow_private: bool) -> SplitResult:
    """A URL that a webhook may have, as far as its text tells. Raises WebhookRefused (bad_url,
    https_required)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WebhookRefused(f"{url!r} is no URL: {error}.", "bad_url") from None
    wrong = (
        "write http(s)://host/path"
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0
        else "leave the user and password out"
        if "@" in parts.netloc
        else "leave the part after # out"
        if "#" in url
        else f"it is longer than {URL_CHARACTERS_MAX} characters"
        if len(url) > URL_CHARACTERS_MAX
        else "it has characters that have to be written as %XX"
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url
        else "write https://host/path"
        if _URL.fullmatch(url) is None
        else None
    )
    if wrong is not None:
        raise WebhookRefused(f"The URL cannot be called: {wrong}.", "bad_url")
    if parts.scheme != "https" and not allow_private:
        raise WebhookRefused(
            "The URL must begin with https:// (for one's own network, set"
            " POINTS_WEBHOOKS_PRIVATE_ADDRESSES=allow).",
            "https_required",
        )
    return parts


def refuse_private(url: str, *, allow_private: bool) -> None:
    """Check a URL when a webhook is given it: also what its host resolves to now. One that does not
    resolve now is taken, for each delivery asks again. Raises WebhookRefused (bad_url,
    https_required, private_address)."""
    parts = checked_url(url, allow_private=allow_private)
    if allow_private:
        return
    assert parts.hostname is not None
    port = parts.port or 443
    try:
        found = _texts(socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return
    for address in found:
        if not is_public(address):
            raise WebhookRefused(
                f"{parts.hostname} has the address {address}, which is not one of the internet's:"
                " name another host (for one's own network, set"
                " POINTS_WEBHOOKS_PRIVATE_ADDRESSES=allow).",
                "private_address",
            )
