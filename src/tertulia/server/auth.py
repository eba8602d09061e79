"""Who may ask: bearer tokens, and on an open loopback address the checks that keep web pages out."""

import hashlib
import ipaddress

from aiohttp import web

from tertulia.config import Server
from tertulia.errors import ConfigError, Forbidden, Unauthorized

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_ALLOWED = "authorization, content-type, x-request-id, x-tertulia-strict, x-tertulia-route"
_EXPOSED = "x-request-id, x-inference-provider, x-tertulia-warnings, x-error-message, retry-after"


class Guard:
    """The door's rules, from ``[server]``.

    With tokens, each request must bring one; they are kept and looked up as hashes. Without any, on loopback, a
    browser must not be led here by another site: the Host must be one of ours (DNS rebinding) and the Origin the
    page's own. Raises ConfigError when the address is for others to reach and neither tokens nor ``open`` is set.
    """

    def __init__(self, server: Server) -> None:
        tokens = [*server.tokens, *_from_file(server)]
        self._callers = {_hash(token): f"token {_hash(token).hex()[:8]}" for token in tokens}
        self._cors = frozenset(server.cors)
        loopback = is_loopback(server.host)
        if not (tokens or loopback or server.open):
            raise ConfigError(
                f"{server.host} can be reached by others, and there are no tokens: set TERTULIA_TOKENS or tokens_file, "
                "or say --open if anybody may use it"
            )
        self._pages_out = loopback and not tokens
        self._hosts = _LOCAL | {server.host.lower()} | {host.lower() for host in server.hosts}

    def admit(self, request: web.BaseRequest) -> str:
        """Who asks. Raises Unauthorized or Forbidden."""
        if self._pages_out:
            self._keep_pages_out(request)
        if not self._callers:
            return "local"
        given = request.headers.get("Authorization", "")
        scheme, _, token = given.partition(" ")
        if scheme.lower() not in ("bearer", "bearer:") or not token.strip():
            raise Unauthorized("a token is needed: send the header 'Authorization: Bearer TOKEN'")
        caller = self._callers.get(_hash(token.strip()))
        if caller is None:
            raise Unauthorized("this token is not known here: TERTULIA_TOKENS and tokens_file say which are")
        return caller

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
