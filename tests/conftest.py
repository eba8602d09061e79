"""For every test: no network but loopback and Unix sockets, and no settings from the machine's environment."""

import ipaddress
import os
import sys
from typing import Any

from hypothesis import HealthCheck, settings

settings.register_profile("tertulia", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tertulia")

for variable in list(os.environ):
    if variable.startswith(("TERTULIA_", "HF_")) and not variable.startswith("TERTULIA_TEST_"):
        del os.environ[variable]


def _near(host: Any) -> bool:
    """Whether ``host`` is this machine."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: it sees every socket of this process, whoever opens it."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        far = isinstance(address, tuple) and not _near(address[0])
    elif event == "socket.getaddrinfo":
        address = arguments[0]
        far = not _near(address) and not _literal(address)
    else:
        return
    if far:
        raise PermissionError(f"tests talk to this machine only, not to {address}")


def _literal(host: Any) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return True


sys.addaudithook(_guard)
