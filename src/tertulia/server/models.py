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
    """The models of a backend. ``advice`` says, of an id that is not among them, how it could be had, or ""."""

    def __init__(self, backend: Backend, advice: Callable[[str], str] | None = None) -> None:
        self._backend = backend
        self._advice = advice

    def resolve(self, name: str | None) -> str | None:
        """The id of the model that ``name`` means; None is left to a backend that tells of no models. Raises
        UnknownModel, which says what there is."""
        cards = self._backend.models()
        if not cards:
            return name
        if name is None or name in UNNAMED:
            return cards[0].id
        for spelling in (name, _bare(name)):
            for card in cards:
                if spelling == card.id or spelling in card.aliases:
                    return card.id
        known = [word for card in cards for word in (card.id, *card.aliases)]
        near = difflib.get_close_matches(name, known, 3, 0.4) or known[:3]
        message = f"there is no model {name!r} here; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"
        if self._advice and (advice := self._advice(_bare(name))):
            message += f"; {advice}"
        raise UnknownModel(message if len(name) <= 200 else "there is no such model here", param="model")

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        return exchange.json(openai.write_models(self._backend.models()))

    async def card(self, exchange: Exchange) -> web.StreamResponse:
        name = exchange.request.path.removeprefix("/v1/models/")
        found = self.resolve(name)
        card: ModelCard | None = next((card for card in self._backend.models() if card.id == found), None)
        if card is None:
            raise UnknownModel(f"there is no model {name!r} here yet", param="model")
        return exchange.json(openai.write_model(card))


def _bare(name: str) -> str:
    """``name`` without a suffix that we know."""
    head, colon, tail = name.rpartition(":")
    return head if colon and tail in SUFFIXES else name
