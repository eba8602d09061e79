"""The part of the Hugging Face Hub's API that its clients need before they ask for a chat: which models there are, who
serves them, what each task is for. What the Hub knows and we don't (likes, downloads, files) is not in the answers."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping

from tertulia.errors import BadRequest
from tertulia.server.exchange import Exchange, one_line
from tertulia.server.models import Models
from tertulia.types import Backend, ModelCard, ProviderCard

TEXT, SIGHT, CHAT = "text-generation", "image-text-to-text", "conversational"
PAGE = 1000
"""The most models of a page, and how many it has where none were named."""
_STATUS = {"live": "live"}
"""The Hub's word for a provider's; for all others it is ``error``, which clients take as a warning and go on."""
_BY_TIME = frozenset({"createdAt", "created_at", "lastModified", "last_modified"})
_ON_THE_LIST = ("private", "pipeline_tag", "tags", "createdAt")
Fields = dict[str, Callable[[], Any]]


class Hub:
    """Answers from the cards of a backend's models. A model is warm if it is installed here, or a provider with a key
    serves it."""

    def __init__(self, backend: Backend, models: Models) -> None:
        self._backend = backend
        self._models = models

    def route(self, path: str) -> Callable[[Exchange], Any] | None:
        """Who answers at ``path``; None where nothing is."""
        match path.rstrip("/").split("/"):
            case ["", "api", "models"]:
                return self.list
            case ["", "api", "tasks"]:
                return self.tasks
            case ["", "api", "models", *name] if _named(name):
                return self.card
            case _:
                return None

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """GET /api/models."""
        query = exchange.request.query
        try:
            limit, skip = _count(query, "limit", PAGE), _count(query, "skip", 0)
        except BadRequest as error:
            return _refuse(exchange, 400, error.message)
        found = [card for card in self._backend.models() if _matches(card, query)]
        if query.get("sort") in _BY_TIME:
            found.sort(key=lambda card: card.created, reverse=query.get("direction") != "1")
        page = found[skip : skip + min(limit, PAGE)]
        if page and skip + len(page) < len(found):
            there = exchange.request.url.with_scheme(_scheme(exchange.request))
            there = there.update_query({"skip": str(skip + len(page)), "limit": str(limit)})
            exchange.headers["Link"] = f'<{there}>; rel="next"'
        wanted = _expand(query)
        return exchange.json(msgspec.json.encode([_tell(card, wanted or _ON_THE_LIST, listed=True) for card in page]))

    async def card(self, exchange: Exchange) -> web.StreamResponse:
        """GET /api/models/{id}, with or without a revision."""
        name = _named(exchange.request.path.rstrip("/").split("/")[3:])
        card = self._models.find(name)
        if card is None:
            exchange.headers["X-Error-Code"] = "RepoNotFound"
            return _refuse(exchange, 404, f"there is no model {name[:200]!r} here: GET /api/models lists what there is")
        wanted = _expand(exchange.request.query) or tuple(_fields(card, listed=False))
        return exchange.json(msgspec.json.encode(_tell(card, wanted, listed=False)))

    async def tasks(self, exchange: Exchange) -> web.StreamResponse:
        """GET /api/tasks: for each task the models to begin with, as both official clients read it."""
        cards = [card for card in self._backend.models() if _warm(card)]
        seeing = [card.id for card in cards if _task(card) == SIGHT]
        told = {
            task: {"id": task, "label": label, "widgetModels": ids[:1], "models": [{"id": one} for one in ids[:10]]}
            for task, label, ids in (
                (TEXT, "Text Generation", [card.id for card in cards]),
                (CHAT, "Chat Completion", [card.id for card in cards]),
                (SIGHT, "Image-Text-to-Text", seeing),
            )
        }
        return exchange.json(msgspec.json.encode(told))


# ---------------------------------------------------------------- choosing


def _matches(card: ModelCard, query: MultiMapping[str]) -> bool:
    if query.get("inference") == "warm" and not _warm(card):
        return False
    if asked := _words(query, "inference_provider"):
        live = {one.provider for one in _providers(card) if one.status == "live"}
        if not (live if "all" in asked else live & set(asked)):
            return False
    if (task := query.get("pipeline_tag")) and task != _task(card):
        return False
    if (author := query.get("author")) and card.id.partition("/")[0].casefold() != author.casefold():
        return False
    if not set(_words(query, "filter")) <= set(_tags(card)):
        return False
    name = card.id.casefold()
    return all(word in name for word in query.get("search", "").casefold().split())


def _words(query: MultiMapping[str], name: str) -> list[str]:
    """What is said once or often, with commas or without, with brackets behind the name or without."""
    said = [*query.getall(name, ()), *query.getall(f"{name}[]", ())]
    return [word for one in said for word in one.split(",") if word]


def _expand(query: MultiMapping[str]) -> tuple[str, ...]:
    return tuple(_words(query, "expand"))


def _count(query: MultiMapping[str], name: str, otherwise: int) -> int:
    said = query.get(name)
    if said is None:
        return otherwise
    if not said.isascii() or not said.isdigit() or len(said) > 9:
        raise BadRequest(f"{name} is a whole number", param=name)
    return int(said)


def _named(parts: Sequence[str]) -> str:
    """The model that a path names behind ``/api/models/``: one part or two, with a revision or without; or nothing."""
    match parts:
        case [name] | [name, "revision", _]:
            return name
        case [owner, name] | [owner, name, "revision", _]:
            return f"{owner}/{name}"
        case _:
            return ""


# ---------------------------------------------------------------- telling


def _fields(card: ModelCard, *, listed: bool) -> Fields:
    """What can be told of a model, by the Hub's names. None is left out."""
    return {
        "author": lambda: card.id.partition("/")[0] if "/" in card.id else None,
        "private": lambda: False,
        "gated": lambda: False,
        "disabled": lambda: False,
        "pipeline_tag": lambda: _task(card),
        "tags": lambda: _tags(card),
        "createdAt": lambda: _time(card.created),
        "lastModified": lambda: _time(card.created),
        "inference": lambda: "warm" if _warm(card) else None,
        "inferenceProviderMapping": lambda: _mapping(card, listed=listed),
        "siblings": list,
    }


def _tell(card: ModelCard, wanted: Sequence[str], *, listed: bool) -> dict[str, Any]:
    fields = _fields(card, listed=listed)
    told: dict[str, Any] = {"_id": hashlib.sha256(card.id.encode()).hexdigest()[:24], "id": card.id, "modelId": card.id}
    for name in wanted:
        if name in fields and (value := fields[name]()) is not None:
            told[name] = value
    return told


def _mapping(card: ModelCard, *, listed: bool) -> Any:
    """Who serves a model. The id there is our own: it is us who are asked for it."""
    entries = [
        {
            "provider": one.provider,
            "providerId": card.id,
            "hfModelId": card.id,
            "status": _STATUS.get(one.status, "error"),
            "task": CHAT,
            "isModelAuthor": one.is_model_author is True,
        }
        for one in _providers(card)
    ]
    return entries if listed else {entry.pop("provider"): entry for entry in entries}


def _providers(card: ModelCard) -> list[ProviderCard]:
    """Who serves a model; a backend that tells of no providers does so itself."""
    return [ProviderCard(provider="local")] if card.providers is None else card.providers


def _warm(card: ModelCard) -> bool:
    return bool(card.status) or any(one.status == "live" for one in _providers(card))


def _task(card: ModelCard) -> str:
    return SIGHT if card.architecture is not None and "image" in card.architecture.input_modalities else TEXT


def _tags(card: ModelCard) -> list[str]:
    return [_task(card), CHAT]


def _time(seconds: int) -> str | None:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z" if seconds else None


def _scheme(request: web.BaseRequest) -> str:
    """How the client reached us: a proxy in front of us may have spoken TLS."""
    told = request.headers.get("X-Forwarded-Proto", "")
    return told if told in ("http", "https") else request.scheme


def _refuse(exchange: Exchange, status: int, message: str) -> web.StreamResponse:
    """The Hub's clients expect the text itself under ``error``."""
    exchange.headers["X-Error-Message"] = one_line(message, 500)
    exchange.outcome = "not_found" if status == 404 else "bad_request"
    return exchange.json(msgspec.json.encode({"error": message}), status)
