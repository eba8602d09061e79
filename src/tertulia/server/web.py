"""The pages: one frame of HTML that is filled for each of them, and the files beside it."""

import gzip
import hashlib
import html
import mimetypes
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from string import Template

from aiohttp import web
from msgspec import Struct

from tertulia.errors import NotFound
from tertulia.server.exchange import Exchange

_FOLDER = Path(__file__).parent.parent / "web"
_ASSETS = "/assets/"
_TITLES = {
    "playground": "Playground",
    "models": "Models",
    "status": "Status",
    "docs": "Docs",
    "tokens": "Tokens",
}
"""The pages by their folders in ``web``."""
_PATHS = {
    "/": "playground",
    "/playground": "playground",
    "/models": "models",
    "/status": "status",
    "/docs": "docs",
    "/settings/tokens": "tokens",
    "/settings/tokens/new": "tokens",
}
_LINKS = {
    "/playground": "playground",
    "/models": "models",
    "/status": "status",
    "/docs": "docs",
    "/settings/tokens": "tokens",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
_HEADERS = {
    # Nothing from another host, nothing inline, no HTML out of strings: what a model writes can't become a script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept, Accept-Encoding",
}


class _File(Struct, frozen=True):
    """What goes out, and its name for caches."""

    body: bytes
    small: bytes
    kind: str
    tag: str


def route(request: web.BaseRequest) -> Callable[[Exchange], Awaitable[web.StreamResponse]] | None:
    """Who shows what a browser asks for; None where a program asks, or where nothing is to be shown. Needs no token:
    pages and their files hold nothing of anybody's."""
    if request.method not in ("GET", "HEAD"):
        return None
    return _asset if request.path.startswith(_ASSETS) else _show if _page(request) else None


def _page(request: web.BaseRequest) -> str | None:
    """The page at a path. ``/`` and ``/playground`` are nothing else, so whoever asks there gets them."""
    path = request.path.rstrip("/") or "/"
    name = "models" if path.startswith("/models/") else _PATHS.get(path)
    return name if name == "playground" or "text/html" in request.headers.get("Accept", "") else None


async def _show(exchange: Exchange) -> web.StreamResponse:
    return _send(exchange, _frame(_page(exchange.request) or "playground"))


async def _asset(exchange: Exchange) -> web.StreamResponse:
    name = exchange.request.path.removeprefix(_ASSETS)
    if name not in _names() or name == "page.html":
        raise NotFound(f"there is no file {name[:100]!r} among the pages' own")
    return _send(exchange, _read(name))


@cache
def _names() -> frozenset[str]:
    """All files, by their paths: only what is listed here can be asked for."""
    return frozenset(path.relative_to(_FOLDER).as_posix() for path in _FOLDER.rglob("*") if path.is_file())


@cache
def _read(name: str) -> _File:
    suffix = Path(name).suffix
    return _file((_FOLDER / name).read_bytes(), _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain")


@cache
def _frame(name: str) -> _File:
    """The page ``name``, with its modules named in its head: the browser gets all of them at once."""
    modules = sorted(one for one in _names() if one.endswith(".js") and one.startswith((f"{name}/", "shared/")))
    styles = sorted(one for one in _names() if one.endswith(".css") and one.startswith((f"{name}/", "shared/")))
    head = [f'<link rel="stylesheet" href="{_ASSETS}{one}">' for one in styles]
    head += [f'<link rel="modulepreload" href="{_ASSETS}{one}">' for one in modules]
    head += [f'<script type="module" src="{_ASSETS}{name}/page.js"></script>']
    nav = [
        f'<a href="{path}"{" aria-current=page" if one == name else ""}>{html.escape(_TITLES[one])}</a>'
        for path, one in _LINKS.items()
    ]
    text = Template((_FOLDER / "page.html").read_text("utf-8"))
    filled = text.substitute(page=name, title=_TITLES[name], head="\n".join(head), nav="\n".join(nav))
    return _file(filled.encode(), "text/html")


def _file(body: bytes, kind: str) -> _File:
    return _File(body, gzip.compress(body, 9, mtime=0), kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def _send(exchange: Exchange, file: _File) -> web.Response:
    request, headers = exchange.request, exchange.headers
    headers.update(_HEADERS)
    headers["ETag"] = file.tag
    if file.tag in request.headers.get("If-None-Match", ""):
        exchange.status = 304
        return web.Response(status=304, headers=headers)
    body = file.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = file.small, "gzip"
    return web.Response(body=body, headers=headers, content_type=file.kind, charset="utf-8")
