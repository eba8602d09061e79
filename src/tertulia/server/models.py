"""GET /v1/models, and which model a request means."""

import difflib
from collections.abc import Callable

from aiohttp import web

from tertulia.errors import UnknownModel
from tertulia.server.exchange import Exchange
from tertulia.types import Backend, ModelCard
from tertulia.wires import openai

UNNAMED = frozenset({None, "", "default", "dummy", "tgi"})
"""What clients send that have no model to name; ``dummy`` is huggingface_hub's, ``tgi`` TGI's."""
SUFFIXES = frozenset({"local"})
"""What may stand behind a model's last colon."""


class Models:
    """The models of a backend. ``advice`` says, of an id that is not among them, how it could be had, or "".

    What is made of the list is kept as long as the backend gives the same one, however many models are in it."""

    def __init__(self, backend: Backend, advice: Callable[[str], str] | None = None) -> None:
        self._backend = backend
        self._advice = advice
        self._theirs: Callable[[str | None], str] | None = getattr(backend, "resolve", None)
        self._cards: list[ModelCard] = []
        self._ids: dict[str, ModelCard] = {}
        self._names: dict[str, str] = {}
        self._bytes: bytes | None = None

    def resolve(self, name: str | None) -> str | None:
        """The id of the model that ``name`` means, by the backend's own account where it has a ``resolve``; None is
        left to a backend that tells of no models. Raises UnknownModel, which says what there is."""
        if self._theirs is not None:
            return self._theirs(name)
        self._look()
        if not self._cards:
            return name
        if name is None or name in UNNAMED:
            return self._cards[0].id
        found = self._names.get(name) or self._names.get(_bare(name))
        if found is None:
            raise self._unknown(name)
        return found

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        self._look()
        if self._bytes is None:
            self._bytes = openai.write_models(self._cards)
        return exchange.json(self._bytes)

    async def card(self, exchange: Exchange) -> web.StreamResponse:
        name = exchange.request.path.removeprefix("/v1/models/")
        found = self.find(name)
        if found is None:
            tell: Callable[[str], UnknownModel] | None = getattr(self._backend, "unknown", None)
            raise tell(name) if tell else self._unknown(name)
        return exchange.json(openai.write_model(found))

    def find(self, name: str) -> ModelCard | None:
        """The card of the model that ``name`` means, with a suffix or without."""
        try:
            known = self.resolve(name) or ""
        except UnknownModel:
            return None
        self._look()
        return self._ids.get(known) or self._ids.get(known.rpartition(":")[0])

    def _look(self) -> None:
        """Have the list as it is now."""
        cards = self._backend.models()
        if cards is self._cards:
            return
        self._cards, self._bytes = cards, None
        self._ids = {}
        self._names = {}
        for card in cards:
            self._ids.setdefault(card.id, card)
            for word in (card.id, *card.aliases):
                self._names.setdefault(word, card.id)

    def _unknown(self, name: str) -> UnknownModel:
        self._look()
        if len(name) > 200 or not self._names:
            return UnknownModel("there is no such model here", param="model")
        near = difflib.get_close_matches(name, self._names, 3, 0.4) or list(self._names)[:3]
        message = f"there is no model {name!r} here; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"
        if self._advice and (advice := self._advice(_bare(name))):
            message += f"; {advice}"
        return UnknownModel(message, param="model")


def _bare(name: str) -> str:
    """``name`` without a suffix that we know."""
    head, colon, tail = name.rpartition(":")
    return head if colon and tail in SUFFIXES else name
