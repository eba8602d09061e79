"""Asking providers and the Hub for their models. Nobody is asked unless the user wants it."""

import asyncio
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from tertulia import __version__
from tertulia.catalog import live, told
from tertulia.catalog.live import Live
from tertulia.catalog.told import Mapping, Told
from tertulia.errors import TertuliaError, Upstream
from tertulia.net import MEBI, Net

ROUTER = "huggingface"
"""The provider whose list tells of others, too."""
_PATIENCE = 60.0
_SILENCE = 20.0
_PAGES = 60
_LARGEST = 64 * MEBI
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_EXPAND = "expand=inferenceProviderMapping&expand=trendingScore&expand=createdAt"
_TAGS = {"text-generation": ("text",), "image-text-to-text": ("text", "image")}


class Host(Struct, frozen=True):
    """Who is asked: a provider's name, address and path (``/v1/models``), and the headers that let us in. Without a
    path it has no list: what the Hub knows of it is wanted all the same."""

    name: str
    address: str
    path: str = ""
    headers: dict[str, str] = {}


async def refresh(net: Net, hosts: Sequence[Host], hub: Host, old: Live, now: int) -> tuple[Live, dict[str, str]]:
    """Ask all ``hosts`` and the ``hub`` at once; what they say merged into ``old``, and why who could not be asked.

    Nobody may take longer than a minute; the Hub a minute a page."""
    asked = [host for host in hosts if host.path]
    answers, mapped = await asyncio.gather(asyncio.gather(*(_ask(net, host) for host in asked)), _mappings(net, hub))
    lists: dict[str, list[Told]] = {}
    parts: dict[tuple[str, str], Told] = {}
    failed: dict[str, str] = {}
    for host, answer in zip(asked, answers, strict=True):
        try:
            if isinstance(answer, TertuliaError):
                raise answer
            found = told.read_models(host.name, answer)
            if not found:
                raise Upstream("it names no model that holds a conversation")
            lists[host.name] = found
            if host.name == ROUTER:
                parts = told.read_parts(answer)
        except TertuliaError as error:
            failed[host.name] = error.message
    if isinstance(mapped, TertuliaError):
        failed[live.HUB] = mapped.message
    mappings = None if isinstance(mapped, TertuliaError) else mapped
    return live.merge(old, lists, mappings, parts, {host.name for host in hosts}, now), failed


async def _ask(net: Net, host: Host) -> bytes | TertuliaError:
    try:
        body, _ = await _get(net, host, host.path)
        return body
    except TertuliaError as error:
        return error


async def _mappings(net: Net, hub: Host) -> list[Mapping] | TertuliaError:
    """What the Hub knows of who serves what, page by page."""
    found: list[Mapping] = []
    try:
        for tag, reads in _TAGS.items():
            query = f"inference_provider=all&pipeline_tag={tag}&{_EXPAND}&limit=1000"
            path: str | None = f"{hub.path}?{query}"
            for _ in range(_PAGES):
                body, path = await _get(net, hub, path)
                found += told.read_mappings(body, reads)
                if path is None:
                    break
    except TertuliaError as error:
        return error
    return found


async def _get(net: Net, host: Host, path: str) -> tuple[bytes, str | None]:
    """The answer, and the path of the next page where there is one at the same address."""
    headers = {"Accept": "application/json", "User-Agent": f"tertulia/{__version__}", **host.headers}
    try:
        async with asyncio.timeout(_PATIENCE):
            reply = await net.send("GET", host.address, path, headers=headers, silence=_SILENCE)
            try:
                if reply.status != 200:
                    raise Upstream(_refusal(reply.status))
                body = await reply.read(_LARGEST)
            finally:
                reply.close()
    except TimeoutError:
        raise Upstream(f"{host.address} took longer than {_PATIENCE:g} s") from None
    return body, _next(host.address, reply.headers.get("Link", ""))


def _next(address: str, links: str) -> str | None:
    match = _NEXT.search(links)
    if match is None:
        return None
    there, here = urlsplit(match[1]), urlsplit(address)
    if there.netloc and there.netloc != here.netloc:
        return None  # our token is for this address alone
    base = here.path.rstrip("/")
    return f"{there.path.removeprefix(base)}?{there.query}"


def _refusal(status: int) -> str:
    match status:
        case 401 | 403:
            return f"it refuses the key (HTTP {status})"
        case 404:
            return "it has no list of models (HTTP 404)"
        case _:
            return f"it answered HTTP {status}"
