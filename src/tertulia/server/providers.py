"""POST /{provider}/...: the addresses at which clients know providers, each with its own route behind its name."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from tertulia.errors import NotFound
from tertulia.server.exchange import Exchange

_MODEL = "{model}"
Respond = Callable[[Exchange], Awaitable[web.StreamResponse]]


class Providers:
    """``routes`` maps each provider's name to the path that its chats are sent to; ``{model}`` in it stands for a
    model's id. ``complete`` answers. /v1/chat/completions is taken behind every name beside the provider's own path."""

    def __init__(self, routes: Mapping[str, str], complete: Respond) -> None:
        self._routes = routes
        self._complete = complete

    def serves(self, path: str) -> bool:
        """Whether ``path`` begins with a provider's name."""
        return path[1:].partition("/")[0] in self._routes

    async def complete(self, exchange: Exchange) -> web.StreamResponse:
        """Answer from the provider that the address names, and from no other."""
        name, _, rest = exchange.request.path[1:].partition("/")
        exchange.asked = self._model(name, "/" + rest.rstrip("/"))
        exchange.provider = name
        return await self._complete(exchange)

    def _model(self, name: str, path: str) -> str:
        """The model that the path names, or nothing: then the body does. Raises NotFound for another path."""
        route = self._routes[name]
        if path in (route, "/v1/chat/completions", "/chat/completions"):
            return ""
        before, place, behind = route.partition(_MODEL)
        if place and path.startswith(before) and path.endswith(behind):
            return path[len(before) : len(path) - len(behind)]
        raise NotFound(f"{name} is asked at /{name}{route}")
