"""GET /api/catalog: every model that there is, also those that nobody here serves yet, for the page that shows them."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from tertulia.errors import UnknownModel
from tertulia.server.exchange import Exchange
from tertulia.server.models import Models
from tertulia.types import Backend, Entry, ModelCard, ProviderCard

PATH = "/api/catalog"


class Catalog:
    """The entries of a backend; of one that has none, what its models' cards say. What is made of the list is kept as
    long as the backend gives the same one."""

    def __init__(self, backend: Backend, models: Models) -> None:
        self._backend = backend
        self._models = models
        self._theirs: Callable[[], list[Entry]] | None = getattr(backend, "entries", None)
        self._entries: list[Entry] | None = None
        self._bytes = b""
        self._names: dict[str, Entry] = {}

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        self._look()
        return exchange.json(self._bytes)

    async def entry(self, exchange: Exchange) -> web.StreamResponse:
        """GET /api/catalog/{id}, by any of its names."""
        name = exchange.request.path.removeprefix(f"{PATH}/")
        self._look()
        found = self._names.get(name) or self._names.get(name.casefold()) or self._meant(name)
        return exchange.json(msgspec.json.encode(found))

    def _look(self) -> None:
        """Have the list as it is now."""
        entries = self._theirs() if self._theirs else [_entry(card) for card in self._backend.models()]
        if entries is self._entries:
            return
        self._entries, self._bytes = entries, msgspec.json.encode({"models": entries})
        self._names = {}
        for entry in entries:
            for name in (entry.id, *entry.aliases):
                self._names.setdefault(name, entry)
                self._names.setdefault(name.casefold(), entry)

    def _meant(self, name: str) -> Entry:
        """The entry that ``name`` means by the backend's own account. Raises UnknownModel."""
        known = self._models.resolve(name) or ""
        if found := self._names.get(known) or self._names.get(known.rpartition(":")[0]):
            return found
        tell: Callable[[str], UnknownModel] | None = getattr(self._backend, "unknown", None)
        raise tell(name) if tell else UnknownModel("there is no such model here", param="model")


def _entry(card: ModelCard) -> Entry:
    reads = card.architecture
    return Entry(
        id=card.id,
        description=card.description,
        aliases=card.aliases,
        input=reads.input_modalities if reads else ["text"],
        output=reads.output_modalities if reads else ["text"],
        context_length=card.context_length,
        status=card.status or "ready",
        bytes=card.bytes,
        runs=True,
        providers=[ProviderCard(provider="local")] if card.providers is None else card.providers,
    )
