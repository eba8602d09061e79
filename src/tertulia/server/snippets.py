"""GET and POST /api/snippets: which languages and clients there are, and a request as code for them."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from aiohttp import web

from tertulia.errors import BadRequest, Busy
from tertulia.server.exchange import Exchange
from tertulia.snippets.ask import Settings
from tertulia.snippets.snippets import make
from tertulia.snippets.table import ROWS, find, languages
from tertulia.wires.openai import read_object
from tertulia.wires.refusal import show

_FIELDS = ("request", "language", "client", "provider", "settings")
_SETTINGS = ("base_url", "token", "bill_to")
_ASIDE = 8 * 1024
"""Bodies longer than this are read and written in a thread, one at a time: the loop has others to serve."""
_WAITING = 8
"""How many such may wait for their turn."""


class Snippets:
    """``limit`` is a body's in bytes, ``silence`` how long nothing of it may come, in seconds."""

    def __init__(self, limit: int, silence: float) -> None:
        self._limit = limit
        self._silence = silence
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def respond(self, exchange: Exchange) -> web.StreamResponse:
        """Answer a GET with what there is, a POST with the code for the request in it. The request is taken as it is:
        whether it could be answered is not looked at. Raises BadRequest, or Busy."""
        if exchange.request.method != "POST":
            return exchange.json(_LIST)
        body = await exchange.body(self._limit, self._silence)
        if len(body) <= _ASIDE:
            return exchange.json(_write(body, exchange))
        return exchange.json(await self._aside(body, exchange))

    async def _aside(self, body: bytes, exchange: Exchange) -> bytes:
        if self._waiting == _WAITING:
            raise Busy("too many long requests wait to become code", retry_after=5)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        # A thread can't be stopped: where the client hangs up, the turn ends with it and not before.
        work = asyncio.ensure_future(asyncio.to_thread(_write, body, exchange))
        work.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(work)


def _write(body: bytes, exchange: Exchange) -> bytes:
    given = read_object(body)
    _known(given, _FIELDS, "")
    settings = given.get("settings")
    if not isinstance(settings, dict | None):
        raise _wrong("settings", "an object", settings)
    wanted = cast(dict[str, Any], settings or {})
    _known(wanted, _SETTINGS, "settings.")
    request = given.get("request")
    if not isinstance(request, dict):
        raise _wrong("request", "an object, the body of a chat", request)
    rows = find(_word(given, "language"), _word(given, "client"))
    address = _word(wanted, "base_url", "settings.") if "base_url" in wanted else _here(exchange)
    known = Settings(
        base_url=address,
        token=_word(wanted, "token", "settings."),
        bill_to=_word(wanted, "bill_to", "settings."),
        # Who had to show a token has one.
        fallback="" if "Authorization" in exchange.request.headers else "none",
    )
    made = make(cast(dict[str, Any], request), rows, _word(given, "provider"), known)
    return msgspec.json.encode({"snippets": made})


def _here(exchange: Exchange) -> str:
    """The address that this server was asked at, as the one who asks knows it."""
    host = exchange.request.headers.get("Host") or "127.0.0.1:8080"
    return f"{exchange.request.scheme}://{host}/v1"


def _word(given: Mapping[str, Any], name: str, where: str = "") -> str:
    """A field that is a string, or nothing."""
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(where + name, "a string", value)
    return value or ""


def _known(given: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in given:
        if name not in names:
            field = where + name[:40]
            raise BadRequest(f"{field} is not a known field; known are {', '.join(names)}", param=field)


def _wrong(field: str, what: str, value: Any) -> BadRequest:
    return BadRequest(f"{field} must be {what}, not {show(value)}", param=field)


_LIST = msgspec.json.encode(
    {
        "languages": [
            {
                "language": language,
                "clients": [
                    {name: getattr(row, name) for name in ("client", "label", "install", "highlight", "extension")}
                    for row in ROWS
                    if row.language == language
                ],
            }
            for language in languages()
        ]
    }
)
