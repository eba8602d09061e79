"""Who may ask: bearer tokens, and on an open loopback address the checks that keep web pages out."""

import hashlib
import ipaddress
import time

from aiohttp import web
from msgspec import Struct

from tertulia.config import Server
from tertulia.errors import ConfigError, Forbidden, Unauthorized
from tertulia.ledger.ledger import Ledger

BOTH = frozenset({"inference", "admin"})
_INFERENCE = frozenset({"inference"})
_HEADER = "send the header 'Authorization: Bearer TOKEN'"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_ALLOWED = "authorization, content-type, x-request-id, x-tertulia-strict, x-tertulia-route"
_EXPOSED = "x-request-id, x-inference-provider, x-tertulia-route, x-tertulia-warnings, x-error-message, retry-after"


class Guest(Struct, frozen=True):
    """Who was let in. ``token`` is the id of a token of the ledger, 0 where it is none; ``bearer`` is a token
    of Hugging Face's that was shown and may go on there: never one that is this server's own."""

    name: str = "local"
    token: int = 0
    permissions: frozenset[str] = BOTH
    bearer: str = ""


class Guard:
    """The door's rules, from ``[server]`` and from the ledger's tokens.

    As soon as there are tokens each request must bring one, unless the server is ``open``; the configuration's are kept
    and looked up as hashes. One that has expired or was revoked counts: only ``open`` opens the door again.
    Without any, on loopback, a browser must not be led here by another site: the Host must be one of ours (DNS
    rebinding) and the Origin the page's own. Raises ConfigError when the address is for others to reach and neither
    tokens nor ``open`` is set.
    """

    def __init__(self, server: Server, ledger: Ledger | None = None) -> None:
        tokens = [*server.tokens, *_from_file(server)]
        self._callers = {_hash(token): f"token {_hash(token).hex()[:8]}" for token in tokens}
        self._ledger = ledger
        self._cors = frozenset(server.cors)
        self._open = server.open
        self._loopback = is_loopback(server.host)
        if not (self._loopback or server.open or self._any()):
            raise ConfigError(
                f"{server.host} can be reached by others, and there are no tokens: make one with `tertulia token new "
                "NAME`, set TERTULIA_TOKENS or tokens_file, or say --open if anybody may use it"
            )
        self._hosts = _LOCAL | {server.host.lower()} | {host.lower() for host in server.hosts}

    def admit(self, request: web.BaseRequest, admin: bool = False, free: bool = False) -> Guest:
        """Who asks, for what needs the permission ``admin``, or else ``inference``. Raises Unauthorized, Forbidden, or
        SpendCap for a POST, which is what costs, unless it is ``free``."""
        given = _bearer(request)
        guest = self._known(given) if given else None
        need = "admin" if admin else "inference"
        if guest is None:
            guest = self._stranger(request, given)
            if need not in guest.permissions:
                raise Unauthorized(f"a token with the permission {need} is needed here: {_HEADER}")
        elif need not in guest.permissions:
            raise Forbidden(
                f"this token lacks the permission {need}: `tertulia token new NAME --permission {need}` makes one "
                "that has it"
            )
        if guest.token and self._ledger and request.method == "POST" and not free:
            self._ledger.check(guest.token)
        return guest

    def _known(self, given: str) -> Guest | None:
        """Who has the token ``given``. Raises Unauthorized where it is no longer good."""
        if self._ledger and (token := self._ledger.find(given)):
            state = token.state(time.time())
            if state != "live":
                what = "has expired" if state == "expired" else "was revoked"
                raise Unauthorized(f"this token {what}: `tertulia token new NAME` makes another")
            return Guest(token.name, token.id, token.permissions)
        name = self._callers.get(_hash(given)) if self._callers else None
        return Guest(name) if name else None

    def _stranger(self, request: web.BaseRequest, given: str) -> Guest:
        """Who has no token that is known here, if such are let in."""
        tokens = self._any()
        if not self._open and (tokens or not self._loopback):
            if not given:
                raise Unauthorized(f"a token is needed: {_HEADER}")
            raise Unauthorized(
                "this token is not known here: `tertulia token list`, TERTULIA_TOKENS and tokens_file say which are"
            )
        if self._loopback:
            self._keep_pages_out(request)
        return Guest(permissions=_INFERENCE if tokens else BOTH, bearer=given if given.startswith("hf_") else "")

    @property
    def configured(self) -> list[str]:
        """The names of the configuration's tokens, which are short hashes of them."""
        return list(self._callers.values())

    @property
    def locked(self) -> bool:
        """Whether there are, or ever were, tokens: then each request must bring one, unless the server is ``open``."""
        return self._any()

    def _any(self) -> bool:
        """Whether there are tokens."""
        return bool(self._callers) or (self._ledger is not None and self._ledger.any())

    def _keep_pages_out(self, request: web.BaseRequest) -> None:
        host = request.headers.get("Host", "")
        if host and _name(host) not in self._hosts:
            raise Forbidden(f"the host name {_name(host)!r} is not one of this server's: use localhost, or set hosts")
        origin = request.headers.get("Origin")
        if origin and not self._allowed(origin) and origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise Forbidden(f"web pages of {origin!r} may not ask here: --cors ORIGIN allows them")

    def _allowed(self, origin: str) -> bool:
        return origin in self._cors or "*" in self._cors

    def cors(self, request: web.BaseRequest) -> dict[str, str]:
        """The headers that let a page of an allowed origin read the answer."""
        origin = request.headers.get("Origin")
        if not self._cors or not origin or not self._allowed(origin):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", "Access-Control-Expose-Headers": _EXPOSED}

    def preflight(self, request: web.BaseRequest) -> dict[str, str] | None:
        """The answer to a browser that asks whether it may ask; None if it may not."""
        headers = self.cors(request)
        if not headers or "Access-Control-Request-Method" not in request.headers:
            return None
        asked = request.headers.get("Access-Control-Request-Headers", "")
        return headers | {
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Access-Control-Allow-Headers": asked or _ALLOWED,
            "Access-Control-Max-Age": "600",
        }


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bearer(request: web.BaseRequest) -> str:
    """The token that ``request`` shows, if any."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "bearer:") else ""


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _from_file(server: Server) -> list[str]:
    if server.tokens_file is None:
        return []
    try:
        lines = server.tokens_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"tokens_file {server.tokens_file}: {error}") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens:
        raise ConfigError(f"tokens_file {server.tokens_file}: there is no token in it")
    return tokens
