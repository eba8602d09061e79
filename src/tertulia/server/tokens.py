"""/api/tokens: callers' tokens, made, listed and revoked by those who have the permission admin."""

import time
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct, field

from tertulia.config import Server
from tertulia.errors import BadRequest, ConfigError, EngineFault, Forbidden, NotFound, StoreError
from tertulia.ledger import units
from tertulia.ledger.ledger import Ledger
from tertulia.ledger.tokens import Token
from tertulia.ledger.usage import Sum
from tertulia.server.auth import Guard, is_loopback
from tertulia.server.exchange import Exchange
from tertulia.wires import openai

PATH = "/api/tokens"
SPAN = 30 * units.DAY
"""Seconds of the usage log that are summed: the whole of it may be long."""
_BODY = 16_384
_SHOWN = 100
_BY_COMMAND = "`tertulia token new NAME --permission admin`, on the machine that serves, makes one that may"


class Wanted(Struct, forbid_unknown_fields=True):
    """A token to be made. ``expires`` is a number of days, or ``12h``, ``30d``, ``8w``, or a date whose end it is;
    ``cap`` is in US dollars."""

    name: str
    permissions: list[str] = field(default_factory=lambda: ["inference"])
    expires: float | str | None = None
    cap: float | str | None = None


class Tokens:
    """Answers at ``/api/tokens`` and below. Without a ledger, as in an engine's process, nothing is there."""

    def __init__(self, ledger: Ledger | None, guard: Guard | None, server: Server) -> None:
        self._ledger = ledger
        self._guard = guard
        self._open = server.open
        self._loopback = is_loopback(server.host)

    def methods(self, path: str) -> str:
        """What is taken at ``path``; nothing where it is none of these."""
        return "GET, POST" if path.rstrip("/") == PATH else "DELETE" if path.startswith(f"{PATH}/") else ""

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """GET lists them, POST makes one, DELETE revokes the one that the path names."""
        if self._ledger is None or self._guard is None:
            raise NotFound("this process keeps no tokens: the one that `tertulia serve` started does")
        self._keep_out(exchange)
        exchange.headers["Cache-Control"] = "no-store"
        which = exchange.request.path.removeprefix(PATH).strip("/")
        if which:
            return exchange.json(msgspec.json.encode(await self._revoke(self._ledger, which)))
        if exchange.request.method == "POST":
            return exchange.json(msgspec.json.encode(await self._make(self._ledger, exchange)), 201)
        return exchange.json(msgspec.json.encode(await self._list(self._ledger, self._guard, exchange)))

    def _keep_out(self, exchange: Exchange) -> None:
        """Who has no token may make the first one, from this machine and from our own page. What ``--cors`` lets in is
        not let in here: a token that a page makes would outlive it. Who has shown a token did so on purpose."""
        request = exchange.request
        if exchange.token or exchange.caller != "local":
            return
        if not self._loopback:
            raise Forbidden(f"anybody can reach this server, so it takes a token to see or make tokens: {_BY_COMMAND}")
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        if origin and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise Forbidden(f"web pages of {origin[:_SHOWN]!r} may not see or make tokens here")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Forbidden("web pages of other sites may not see or make tokens here")

    async def _list(self, ledger: Ledger, guard: Guard, exchange: Exchange) -> dict[str, Any]:
        now = time.time()
        tokens = await ledger.list()
        sums = {one.key: one for one in await ledger.sums(now - SPAN, "token")}
        last = await ledger.last(now - SPAN)
        live = [one for one in tokens if one.state(now) == "live"]
        told = [_told(one, now) | {"used": _used(sums, last, one.id, one.name)} for one in tokens]
        return {
            "door": "anybody" if self._open else "locked" if guard.locked else "open",
            "you": {"id": exchange.token or None, "name": exchange.caller},
            "admins": sum("admin" in one.permissions for one in live) + len(guard.configured),
            "days": SPAN // units.DAY,
            "tokens": told,
            "configured": [
                {"name": name, "permissions": ["admin", "inference"], "used": _used(sums, last, 0, name)}
                for name in guard.configured
            ],
            "nobody": _used(sums, last, 0, "local"),
        }

    async def _make(self, ledger: Ledger, exchange: Exchange) -> dict[str, Any]:
        wanted, now = await _read(exchange), time.time()
        try:
            expires = _moment(wanted.expires, now)
        except ConfigError as error:
            raise BadRequest(error.message, param="expires") from None
        try:
            cap = units.micros(f"{wanted.cap}") if wanted.cap is not None else None
        except ConfigError as error:
            raise BadRequest(error.message, param="cap") from None
        try:
            secret = await ledger.new(wanted.name, wanted.permissions, expires, cap)
        except StoreError as error:
            if error.param:
                raise BadRequest(error.message, param=error.param) from None
            raise EngineFault(error.message) from None
        made = ledger.find(secret)
        assert made is not None
        return _told(made, now) | {"token": secret}

    async def _revoke(self, ledger: Ledger, which: str) -> dict[str, Any]:
        try:
            token = await ledger.revoke(which)
        except StoreError as error:
            if error.param:
                raise NotFound(error.message, param=error.param) from None
            raise EngineFault(error.message) from None
        return {"id": token.id, "name": token.name, "state": "revoked"}


async def _read(exchange: Exchange) -> Wanted:
    """What is wanted. A form, which a page of another site could send without asking, is none of it."""
    if exchange.request.content_type != "application/json":
        raise BadRequest("send JSON, with the header 'Content-Type: application/json'")
    try:
        return msgspec.convert(openai.read_object(await exchange.body(_BODY, 10)), Wanted)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise BadRequest(what, param=where.rstrip("`") or None) from None


def _moment(expires: float | str | None, now: float) -> float | None:
    """The Unix time that is meant. Raises ConfigError."""
    if expires is None or isinstance(expires, str):
        return units.ahead(expires, now) if expires else None
    if not 0 < expires <= units.MOST_DAYS:
        raise ConfigError(f"{expires:g} days are not to be had: between 1 and {units.MOST_DAYS} are, or null for ever")
    return now + expires * units.DAY


def _told(token: Token, now: float) -> dict[str, Any]:
    """A token without its secret. Times are Unix times, sums of money US dollars."""
    return {
        "id": token.id,
        "name": token.name,
        "permissions": sorted(token.permissions),
        "made": token.made,
        "expires": token.expires,
        "revoked": token.revoked,
        "state": token.state(now),
        "spent": token.spent / units.MICRO,
        "cap": None if token.cap is None else token.cap / units.MICRO,
    }


def _used(sums: dict[str, Sum], last: dict[tuple[int, str], float], token: int, name: str) -> dict[str, Any] | None:
    """What the usage log of the last days knows of a caller; None where that is nothing."""
    one = sums.get(f"{name} ({token})" if token else name)
    if one is None:
        return None
    return {
        "requests": one.requests,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "cost": one.cost / units.MICRO,
        "estimated": one.estimated,
        "last": last.get((token, name)),
    }
