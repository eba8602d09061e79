"""The models of this machine as one Backend: a child process for each that was asked for."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from tertulia.catalog import catalog, facts
from tertulia.catalog.store import Installed, Store
from tertulia.errors import StoreError, UnknownModel, Upstream
from tertulia.providers.child import Child, Vitals
from tertulia.types import Architecture, ChatRequest, Chunk, ModelCard

SETTLED = 50_000_000
"""Nanoseconds after which a folder that changes again says so by another time."""


class Local:
    """Every installed model can be asked; those in ``ids`` are loaded at :meth:`start`, the first of them is the
    default. Another is loaded when it is first asked for, if ``fits`` doesn't raise. ``child`` makes the process for a
    model."""

    def __init__(
        self,
        store: Store,
        ids: Sequence[str],
        child: Callable[[Installed], Child],
        fits: Callable[[Installed], None],
    ) -> None:
        self._store = store
        self._ids = list(ids)
        self._child = child
        self._fits = fits
        self._children: dict[str, Child] = {}
        self._loaded: dict[str, Installed] = {}
        self._here: list[Installed] = []
        self._seen = -1
        self._told: tuple[list[Installed], list[str]] | None = None
        self._cards: list[ModelCard] = []

    @property
    def ready(self) -> bool:
        """Whether all models that were named at the start can answer."""
        return all(name in self._children and self._children[name].ready for name in self._ids)

    def start(self) -> None:
        """Start the children, and don't wait for them. Raises StoreError where a model is missing or doesn't fit."""
        for name in self._ids:
            self._open(name)

    async def stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children.values()))

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        answer = self._asked(request).chat(request)
        try:
            async for chunk in answer:
                yield chunk
        finally:
            await answer.aclose()

    async def count(self, request: ChatRequest) -> int:
        return await self._asked(request).count(request)

    def models(self) -> list[ModelCard]:
        """The default model first, then the others by name. One that is loaded stays, also when it is removed from the
        store meanwhile: it goes on answering. It is the same list as long as nothing has changed."""
        told = (self._installed(), [child.state for child in self._children.values()])
        if told != self._told:
            self._told = told
            installed = {model.id: model for model in self._here} | self._loaded
            order = [name for name in self._ids if name in installed]
            order += [name for name in installed if name not in order]
            self._cards = [self._card(installed[name]) for name in order]
        return self._cards

    def _installed(self) -> list[Installed]:
        """What is in the store. It is read when its folder has changed: models come and go whole."""
        try:
            changed = self._store.path.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        if changed != self._seen:
            # A change right after this one might have the same time: then it is read once more.
            self._seen = changed if time.time_ns() - changed > SETTLED else -1
            here = self._store.list()
            if here != self._here:
                self._here = here
        return self._here

    def supports(self, request: ChatRequest) -> list[str]:
        """Left to the children: each refuses for itself."""
        return []

    async def metrics(self) -> str:
        """The figures of all engines, those of one name together under one ``# TYPE``, as Prometheus wants them."""
        families: dict[str, list[str]] = {}
        for child in self._children.values():
            head = ""
            for line in (await child.metrics()).splitlines(keepends=True):
                head = line if line.startswith("#") else head
                family = families.setdefault(head, [])
                if line != head:
                    family.append(line)
        return "".join(head + "".join(lines) for head, lines in families.items())

    def tell(self) -> list[Vitals]:
        """The processes of the models that are loaded, or being loaded."""
        return [child.tell() for child in self._children.values()]

    def _asked(self, request: ChatRequest) -> Child:
        """The child that ``request`` is for. Raises Upstream if it can't be loaded beside the others."""
        try:
            return self._open(request.model)
        except StoreError as error:
            raise Upstream(error.message, param="model") from None

    def _open(self, name: str | None) -> Child:
        """The child for a model, started if it was not."""
        if found := self._children.get(name or next(iter(self._ids), "")):
            return found
        model = self._find(name)
        if model.id not in self._children:
            self._fits(model)
            self._children[model.id] = self._child(model)
            self._loaded[model.id] = model
            self._children[model.id].start()
        return self._children[model.id]

    def _find(self, name: str | None) -> Installed:
        """The installed model that ``name`` means; without one the first there is. Raises UnknownModel."""
        name = name or next(iter(self._ids or (model.id for model in self._installed())), None)
        if name is None:
            raise UnknownModel(
                "no model is installed; `tertulia pull smollm2` fetches one to begin with", param="model"
            )
        if model := self._store.find(name):
            return model
        raise UnknownModel(f"{name} is not installed; `tertulia pull {name}` fetches it", param="model")

    def _card(self, model: Installed) -> ModelCard:
        child, row = self._children.get(model.id), catalog.find(model.id)
        told = child.models() if child else []
        return ModelCard(
            id=model.id,
            created=model.created,
            owned_by="local",
            status=child.state if child else "installed",
            context_length=told[0].context_length if told else model.context,
            description=row.description if row else "",
            aliases=list(row.aliases) if row else [],
            architecture=Architecture(["text", "image"], ["text"]) if model.architecture in facts.SEEING else None,
            bytes=model.bytes,
        )
