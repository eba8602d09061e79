"""The server: the table of routes, the outermost handler, and how it is started and stopped."""

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from tertulia.config import Config, Server
from tertulia.errors import EngineFault, MethodNotAllowed, NotFound, SetupError, TertuliaError
from tertulia.ledger.ledger import Ledger
from tertulia.server import openapi
from tertulia.server import web as pages
from tertulia.server.auth import Guard
from tertulia.server.catalog import Catalog
from tertulia.server.chat import Chats
from tertulia.server.connection import Door
from tertulia.server.exchange import Exchange
from tertulia.server.hub import Hub
from tertulia.server.lines import Lines, access
from tertulia.server.metrics import Metrics
from tertulia.server.models import Models
from tertulia.server.providers import Providers
from tertulia.server.snippets import Snippets
from tertulia.server.status import Status
from tertulia.server.tokens import PATH as TOKENS
from tertulia.server.tokens import Tokens
from tertulia.types import Backend

log = logging.getLogger("tertulia.server")

Respond = Callable[[Exchange], Awaitable[web.StreamResponse]]
Advice = Callable[[str], str]

_CHAT = "POST /v1/chat/completions does it here"
_ELSEWHERE = {
    "/v1/completions": f"plain completion is not offered: {_CHAT}",
    "/v1/responses": f"the Responses API is not offered: {_CHAT}",
    "/v1/messages": f"Anthropic's Messages API is not offered: {_CHAT}",
    "/v1/embeddings": "embeddings are not offered here",
    "/api/chat": f"Ollama's API is not offered: {_CHAT}",
    "/api/generate": f"Ollama's API is not offered: {_CHAT}",
    "/api/tags": "Ollama's API is not offered: GET /v1/models does it here",
    "/generate": f"TGI's API is not offered: {_CHAT}",
    "/generate_stream": f"TGI's API is not offered: {_CHAT} with stream: true",
    "/completion": f"llama.cpp's API is not offered: {_CHAT}",
    "/chat/completions": "the path begins with /v1: set base_url to end with /v1",
    "/models": "the path begins with /v1: set base_url to end with /v1",
    "/v1/v1/chat/completions": "the path has /v1 twice: set base_url to end with /v1, once",
}
_OPEN = frozenset({"/health", "/openapi.json"})
_ADMIN = frozenset({"/metrics", "/status"})
_FREE = frozenset({"/api/snippets", "/api/tokens"})
"""Where a POST costs nothing."""


class App:
    """Answers every request: the routes, and what happens to errors."""

    def __init__(
        self,
        backend: Backend,
        server: Server,
        *,
        guard: Guard | None,
        advice: Advice | None = None,
        routes: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._backend = backend
        self._guard = guard
        self._server = server
        self._metrics = Metrics()
        self.lines = Lines()
        models = Models(backend, advice)
        self.chats = Chats(backend, models, server, self._metrics)
        self._card = models.card
        self._hub = Hub(backend, models)
        self._catalog = Catalog(backend, models)
        self._providers = Providers(routes or {}, self.chats.complete)
        self._status = Status(backend, self._metrics, ledger)
        self._tokens = Tokens(ledger, guard, server)
        self._routes: dict[str, tuple[str, Respond]] = {
            "/v1/chat/completions": ("POST", self.chats.complete),
            "/v1/chat/completions/input_tokens": ("POST", self.chats.count),
            "/v1/models": ("GET", models.list),
            "/api/catalog": ("GET", self._catalog.list),
            "/api/snippets": ("GET, POST", Snippets(server.body_limit, server.header_timeout).respond),
            "/health": ("GET", self._health),
            "/metrics": ("GET", self._figures),
            "/status": ("GET", self._status.tell),
            "/openapi.json": ("GET", self._openapi),
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        exchange = Exchange(request)
        self._metrics.in_flight += 1
        try:
            return await self._respond(exchange)
        except TertuliaError as error:
            return await exchange.fail(error)
        except ConnectionError:
            exchange.status, exchange.outcome = 499, "hung_up"
            return web.Response(status=499)  # to nobody: aiohttp finds the connection closed
        except asyncio.CancelledError:
            exchange.status, exchange.outcome = 499, "hung_up"
            raise
        except Exception:
            log.exception("%s: a defect of ours", exchange.id)
            message = f"something went wrong here; the server's log says what, under {exchange.id}"
            return await exchange.fail(EngineFault(message))
        finally:
            self._metrics.in_flight -= 1
            self._metrics.done(exchange)
            self._status.done(exchange)
            if exchange.route == "/health":
                access.debug(exchange.line())
            else:
                self.lines.add(exchange.line(), urgent=exchange.status >= 500)

    async def _respond(self, exchange: Exchange) -> web.StreamResponse:
        request, path = exchange.request, exchange.request.path
        shown = pages.route(request)
        if self._guard is not None:
            if cors := self._guard.cors(request):
                exchange.headers.update(cors)
            if request.method == "OPTIONS" and (headers := self._guard.preflight(request)):
                exchange.status = 204
                return web.Response(status=204, headers=headers)
            if path not in _OPEN and shown is None:
                plain = path.rstrip("/")
                guest = self._guard.admit(request, admin=_for_admins(plain), free=plain in _FREE)
                exchange.caller, exchange.token, exchange.bearer = guest.name, guest.token, guest.bearer
        method, respond = ("GET", shown) if shown else self._route(path)
        exchange.route = "/{page}" if shown else self._label(respond, path)
        taken = method.split(", ")
        if request.method not in taken and not (request.method == "HEAD" and "GET" in taken):
            exchange.headers["Allow"] = method
            raise MethodNotAllowed(f"{path} takes {method}, not {request.method}")
        return await respond(exchange)

    def _route(self, path: str) -> tuple[str, Respond]:
        found = self._routes.get(path) or self._routes.get(path.rstrip("/"))
        if found is not None:
            return found
        if path.startswith("/v1/models/"):
            return "GET", self._card
        if path.startswith("/api/catalog/"):
            return "GET", self._catalog.entry
        if methods := self._tokens.methods(path):
            return methods, self._tokens.answer
        if respond := self._hub.route(path):
            return "GET", respond
        if self._providers.serves(path):
            return "POST", self._providers.complete
        hint = _ELSEWHERE.get(path.rstrip("/"))
        if hint is None:
            hint = f"there is nothing at {path[:100]!r}: {_CHAT}, and GET /openapi.json tells of the rest"
        raise NotFound(hint)

    def _label(self, respond: Respond, path: str) -> str:
        """What the metrics call a path: those with a name in them are one."""
        if respond == self._card:
            return "/v1/models/{id}"
        if respond == self._catalog.entry:
            return "/api/catalog/{id}"
        if respond == self._hub.card:
            return "/api/models/{id}"
        if respond == self._tokens.answer:
            return TOKENS
        return "/{provider}" if respond == self._providers.complete else path.rstrip("/")

    async def _health(self, exchange: Exchange) -> web.StreamResponse:
        if getattr(self._backend, "ready", True):
            return exchange.json(b'{"status":"ready"}')
        return exchange.json(b'{"status":"loading"}', 503)

    async def _figures(self, exchange: Exchange) -> web.StreamResponse:
        more: Callable[[], Awaitable[str]] | None = getattr(self._backend, "metrics", None)
        text = self._metrics.text() + (await more() if more else "")
        return web.Response(text=text, headers=exchange.headers, content_type="text/plain", charset="utf-8")

    async def _openapi(self, exchange: Exchange) -> web.StreamResponse:
        return exchange.json(openapi.document(self._server))


def _for_admins(path: str) -> bool:
    return path in _ADMIN or path.startswith(TOKENS)


@contextlib.asynccontextmanager
async def running(
    backend: Backend,
    config: Config,
    *,
    socket: Path | None = None,
    advice: Advice | None = None,
    routes: Mapping[str, str] | None = None,
    ledger: Ledger | None = None,
) -> AsyncGenerator[str, None]:
    """Serve ``backend`` inside this context, whose value is the address: ``http://host:port``, or ``unix:/path`` when
    ``socket`` is given, where whoever can open the socket is let in. Port 0 takes a free one. At the end answers that
    run get ``grace`` seconds. ``routes`` maps providers to the paths of their own at which they are reached here;
    ``ledger`` knows callers' tokens.

    Raises SetupError when the address can't be had, ConfigError when it must not be served without tokens.
    """
    server = config.server
    app = App(
        backend, server, guard=None if socket else Guard(server, ledger), advice=advice, routes=routes, ledger=ledger
    )
    runner = web.ServerRunner(Door(app, server), shutdown_timeout=1)
    await runner.setup()
    site = (
        web.UnixSite(runner, socket, backlog=1024)
        if socket
        else web.TCPSite(runner, server.host, server.port, backlog=1024)
    )
    try:
        try:
            await site.start()
        except OSError as error:
            raise _no_address(error, server, socket) from error
        yield f"unix:{socket}" if isinstance(site, web.UnixSite) else _url(server.host, site.port)
        await site.stop()
        await app.chats.drain(server.grace)
    finally:
        await runner.cleanup()
        app.lines.flush()


async def serve(
    backend: Backend,
    config: Config,
    *,
    socket: Path | None = None,
    advice: Advice | None = None,
    routes: Mapping[str, str] | None = None,
    ledger: Ledger | None = None,
    started: Callable[[str], None] | None = None,
    orphan_stops: bool = False,
) -> None:
    """Serve ``backend`` until SIGTERM or SIGINT, and with ``orphan_stops`` until standard input ends: it is the pipe of
    the process that started us. A second signal doesn't wait for running answers.

    ``started`` is called with the address once it is open.
    """
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    stop = asyncio.Event()
    assert main is not None

    def on_signal() -> None:
        if stop.is_set():
            main.cancel()
        stop.set()

    def on_input() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    _allow_files(2 * config.server.connections + 256)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if orphan_stops:
        loop.add_reader(sys.stdin.fileno(), on_input)
    try:
        async with running(backend, config, socket=socket, advice=advice, routes=routes, ledger=ledger) as address:
            if started:
                started(address)
            await stop.wait()
            log.info("stopping: running answers have %g s to end", config.server.grace)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if orphan_stops:
            loop.remove_reader(sys.stdin.fileno())


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _no_address(error: OSError, server: Server, socket: Path | None) -> SetupError:
    if socket is not None:
        return SetupError(f"the socket {socket} can't be opened: {error.strerror or error}")
    match error.errno:
        case errno.EADDRINUSE:
            what = f"port {server.port} on {server.host} is in use: end what uses it, or choose another with --port"
        case errno.EACCES:
            what = f"port {server.port} is only for the administrator: choose one above 1023 with --port"
        case errno.EADDRNOTAVAIL:
            what = f"{server.host} is not an address of this machine: 127.0.0.1 is, and 0.0.0.0 is all of them"
        case _:
            what = f"{server.host} port {server.port} can't be opened: {error.strerror or error}"
    return SetupError(what)


def _allow_files(number: int) -> None:
    """Each connection is an open file, and the usual bound of 1,024 is soft."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
