"""Loopback TCP ports: whether one is taken, and how to choose new ones.

Never binds anything but 127.0.0.1: the embedded services are for this machine only.
"""

import random
import socket
from collections.abc import Container

from .errors import EmbeddedServicesError

LOOPBACK = "127.0.0.1"

# Below the range from which Linux and macOS take ports for outgoing connections (32768 and 49152
# up), so that a remembered port is most likely still free at the next start.
_CHOICE = range(15000, 32000)

# Tries before giving up: with even half of the range taken, 200 misses in a row do not happen.
_TRIES_MAX = 200

# Seconds: a loopback connect is answered or refused at once.
_CONNECT_SECONDS = 1.0


def accepts(port: int) -> bool:
    """True if something listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        return probe.connect_ex((LOOPBACK, port)) == 0


def is_free(port: int) -> bool:
    """True if a server could listen on the port now."""
    # macOS lets a bind to 127.0.0.1 pass beside a listener on 0.0.0.0, hence the connect first.
    if accepts(port):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections in TIME_WAIT from the last run must not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:  # taken by a socket that does not accept
            return False
        return True


def find_free_ports(count: int, *, avoid: Container[int | None] = ()) -> list[int]:
    """Choose `count` different free ports at random, none of `avoid`. Raises: port_in_use."""
    found: list[int] = []
    for _ in range(_TRIES_MAX):
        if len(found) == count:
            return found
        port = random.choice(_CHOICE)
        if port not in avoid and port not in found and is_free(port):
            found.append(port)
    raise EmbeddedServicesError(
        "port_in_use",
        f"No free port was found between {_CHOICE.start} and {_CHOICE.stop - 1} on {LOOPBACK}: "
        "stop some servers or give a port yourself.",
    )


def check_explicit(port: int, service: str) -> None:
    """A port the user asked for is taken or refused, never exchanged. Raises: port_in_use."""
    if not 1 <= port <= 65535:
        raise EmbeddedServicesError(
            "port_in_use", f"{port} is no TCP port for {service}: give one from 1024 to 65535."
        )
    if not is_free(port):
        raise EmbeddedServicesError(
            "port_in_use",
            f"Port {port} for {service} is already in use (or not allowed): "
            "stop what listens there, give another port, or give none to have one chosen.",
        )
