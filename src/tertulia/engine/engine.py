"""The local mind: a Backend over one loaded model.

One task runs the passes: schedule, forward (in a thread, without the GIL), sample, advance, tell. While a pass runs,
the event loop tells the last one's tokens to whoever waits for them.
"""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tertulia
from tertulia import config
from tertulia.engine.answer import Answer, Inbox, usage
from tertulia.engine.ask import Asker
from tertulia.engine.batch import BLOCK
from tertulia.engine.blocks import Blocks
from tertulia.engine.checkpoint import Checkpoint, open_checkpoint
from tertulia.engine.choice import Choice, Piece
from tertulia.engine.eye import Eye, open_eye
from tertulia.engine.figures import Figures
from tertulia.engine.gallery import Gallery
from tertulia.engine.model import Model
from tertulia.engine.pace import Pace
from tertulia.engine.pictures import Pictures
from tertulia.engine.sampler import sample
from tertulia.engine.scheduler import Pass, Scheduler, Sequence
from tertulia.engine.sight import Sight
from tertulia.engine.tokens import Tokens, open_tokens
from tertulia.engine.view import View
from tertulia.errors import BadRequest, Busy, EngineFault, TertuliaError
from tertulia.net import Net
from tertulia.types import Architecture, ChatRequest, Chunk, ChunkMeta, ModelCard

log = logging.getLogger("tertulia.engine")

PULSE = 5.0
"""Seconds between signs of life to those who have begun and have nothing to tell."""


class Engine:
    """A Backend over one model. Made by :meth:`load`, ended by :meth:`aclose`."""

    def __init__(
        self,
        name: str,
        digest: str,
        checkpoint: Checkpoint,
        model: Model,
        settings: config.Engine,
        eyes: tuple[Eye, config.Images] | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._model = model
        self._tokens: Tokens = open_tokens(checkpoint)
        self._blocks = Blocks(model.blocks)
        self._scheduler = Scheduler(self._blocks, settings.batch, settings.exact)
        self._pace = Pace()
        self._choices: dict[Sequence, tuple[Choice, Inbox]] = {}
        self._lost: set[Sequence] = set()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "forward")
        self._created = int(time.time())
        room = (model.blocks - 1) * BLOCK
        wanted = settings.context or model.shape.context
        self.context = min(wanted, model.shape.context, room)
        if self.context < min(wanted, model.shape.context):
            log.warning("the KV pool holds %d tokens, so the context is %d and not %d", room, self.context, wanted)
        care, named = settings.fold_messages, settings.format_of(name)
        self._gallery: Gallery | None = None
        self._looking = 0
        sight: Sight | None = None
        self._net: Net | None = None
        self._pictures: Pictures | None = None
        if eyes:
            tower, bounds = eyes
            self._net = Net()
            self._gallery = Gallery(tower, bounds.seen, self._wake.set)
            pictures = self._pictures = Pictures(bounds, self._net)
            sight = Sight(tower.vision, self._tokens, pictures, self._gallery.known, self.context)
        self._asker = Asker(self._tokens, checkpoint, self.context, named=named, care=care, sight=sight)
        kind = checkpoint.quantisation + ("-exact" if settings.exact else "")
        self._fingerprint = f"{name.rpartition('/')[2]}-{digest[:12]}-{kind}-tertulia-{tertulia.__version__}"
        self._figures = Figures(name, weights=kind, context=self.context, block=BLOCK)
        self._made = 0
        self._turn = False
        self._passes = asyncio.create_task(self._run(), name="engine passes")
        self._pulse = asyncio.create_task(self._tell_life(), name="engine pulse")

    @classmethod
    async def load(
        cls,
        folder: Path,
        *,
        name: str,
        digest: str,
        settings: config.Engine,
        images: config.Images | None = None,
        aside: bool = False,
    ) -> "Engine":
        """Load the model in ``folder``, as ``name``; ``digest`` is its weights' hash, for the fingerprint. ``images``
        are the bounds within which a model that sees loads pictures. ``aside`` puts into files beside the model what
        memory has no room for.

        Raises StoreError when the folder holds no model that can be built.
        """
        started = time.monotonic()
        checkpoint = await asyncio.to_thread(open_checkpoint, folder, settings.weights)
        model = await asyncio.to_thread(
            Model,
            checkpoint,
            kv=settings.kv,
            threads=settings.threads,
            rounding=settings.weights != "f32",
            exact=settings.exact,
            aside=folder if aside else None,
        )
        eyes: tuple[Eye, config.Images] | None = None
        if checkpoint.vision:
            bounds = images or config.Images()
            vision = checkpoint.vision.bounded(bounds.tokens)
            eyes = await asyncio.to_thread(open_eye, vision, checkpoint.weight, settings.threads), bounds
        engine = cls(name, digest, checkpoint, model, settings, eyes)
        pool, where = model.blocks * model.block_bytes >> 20, ", weights in files" if aside else ""
        log.info("%s loaded in %.1f s%s; KV pool of %d MiB", name, time.monotonic() - started, where, pool)
        return engine

    async def aclose(self) -> None:
        """Stop; running requests end with an error."""
        for task in (self._passes, self._pulse):
            task.cancel()
        await asyncio.gather(self._passes, self._pulse, return_exceptions=True)
        self._fail(EngineFault("the engine is being stopped", retry_after=1))
        await self._asker.aclose()
        await asyncio.to_thread(self._thread.shutdown)
        if self._pictures and self._net:
            await self._pictures.aclose()
            await self._net.close()

    # ------------------------------------------------------------ Backend

    def models(self) -> list[ModelCard]:
        card = ModelCard(id=self.name, created=self._created, owned_by="local", context_length=self.context)
        if self._gallery:
            card.architecture = Architecture(["text", "image"], ["text"])
        return [card]

    def supports(self, request: ChatRequest) -> list[str]:
        return []

    async def count(self, request: ChatRequest) -> int:
        return await self._asker.count(request)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer. Raises BadRequest (template, context, token ids, grammars), Busy when the queue is full,
        EngineFault."""
        if self._passes.done():
            raise EngineFault("the engine was stopped", retry_after=1)
        plan = await self._asker.plan(request, random.getrandbits(63))
        seats = max(self._settings.batch - len(self._scheduler.running), 0)
        if len(self._scheduler.waiting) + self._looking + plan.n > self._settings.queue + seats:
            raise Busy(
                f"{self._settings.queue} requests are waiting already; try again in a few seconds", retry_after=5
            )
        inbox = Inbox()
        choices: list[Choice] = []
        answer = Answer(self.name, self._fingerprint, ChunkMeta(provider="local", warnings=plan.warnings))
        try:
            for index in range(plan.n):
                first = choices[0].sequence.prefixes if choices else []
                choice = plan.choice(index, first, self._tokens, leap=not self._settings.exact)
                choices.append(choice)
                self._choices[choice.sequence] = (choice, inbox)
            sequences = [choice.sequence for choice in choices]
            async with aclosing(self._add(sequences, self._settings.queue_timeout)) as signs:
                async for _ in signs:
                    yield answer.sign()
            logprobs = bool(request.logprobs)
            pieces = await self._first(inbox, sequences)
            ended = 0
            while True:
                for piece in pieces:
                    if piece is None:
                        yield answer.sign()
                        continue
                    ended += piece.finish is not None
                    yield answer.chunk(piece, logprobs)
                if ended == plan.n:
                    break
                if lost := [sequence for sequence in sequences if sequence in self._lost]:
                    async with aclosing(self._add(lost, math.inf)) as signs:
                        async for _ in signs:
                            yield answer.sign()
                pieces = await inbox.take()
            yield answer.last(usage(choices))
        finally:
            for choice in choices:
                self._leave(choice.sequence)

    async def metrics(self) -> str:
        """The engine's figures as Prometheus text."""
        used = 1 - self._blocks.available / self._blocks.count
        gauges = {
            "queue_length": len(self._scheduler.waiting),
            "running_sequences": len(self._scheduler.running),
            "kv_blocks": self._blocks.count,
            "kv_used_ratio": round(used, 4),
        }
        return self._figures.text(gauges)

    # ------------------------------------------------------------ a request

    async def _first(self, inbox: Inbox, sequences: list[Sequence]) -> list[Piece | None]:
        """The first pieces. A request that is still in the queue when its time is up is turned away."""
        task = asyncio.ensure_future(inbox.take())
        try:
            done, _ = await asyncio.wait([task], timeout=self._settings.queue_timeout)
            if not done and all(sequence in self._scheduler.waiting for sequence in sequences):
                raise self._full()
            return await task
        finally:
            task.cancel()

    async def _add(self, sequences: list[Sequence], patience: float) -> AsyncGenerator[None, None]:
        """Put a request's sequences into the queue. First its pictures are looked at, but for those all of whose tokens
        are in blocks that are there; should these be taken before it is read, it comes here again."""
        known = len(self._blocks.find(sequences[0].shared)) * BLOCK
        if views := [view for view in sequences[0].views if view.rows is None and view.places[-1] >= known]:
            async with aclosing(self._look(views, patience)) as signs:
                async for _ in signs:
                    yield
        for sequence in sequences:
            self._lost.discard(sequence)
            self._scheduler.add(sequence)
        self._wake.set()

    async def _look(self, views: list[View], patience: float) -> AsyncGenerator[None, None]:
        """Wait until all pictures were seen; a sign of life now and then. A request whose turn doesn't come within so
        many seconds is turned away."""
        if self._gallery is None:
            return
        task = asyncio.gather(*(self._gallery.see(view) for view in views))
        until = time.monotonic() + patience
        seen = self._gallery.made
        self._looking += 1
        try:
            while not (await asyncio.wait([task], timeout=PULSE))[0]:
                if time.monotonic() > until and not self._gallery.begun(views):
                    raise self._full()
                if seen != (seen := self._gallery.made):
                    yield
            await task
        finally:
            self._looking -= 1
            task.cancel()

    def _full(self) -> Busy:
        return Busy(f"no room within {self._settings.queue_timeout:g} s; try again later", retry_after=10)

    def _leave(self, sequence: Sequence) -> None:
        """Done with, or given up: blocks back, figures noted."""
        if self._choices.pop(sequence, None) is None:
            return
        self._scheduler.remove(sequence)
        self._lost.discard(sequence)
        self._figures.count(
            prompt_tokens=len(sequence.prompt),
            cached_tokens=sequence.cached,
            completion_tokens=sequence.history.length,
            preemptions=sequence.preemptions,
        )

    # ------------------------------------------------------------ the passes

    async def _run(self) -> None:
        """Pass after pass, as long as there is work. The engine's one place where any exception is caught: whatever a
        pass dies of is told to all that were in it, and the next request finds a working engine."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._step(loop)
            except Exception as error:
                log.exception("a pass failed")
                self._fail(EngineFault(f"the engine failed ({type(error).__name__}); the log says more"))

    async def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        """A pass, and behind it pieces of a picture. The pass behind those reads of no prompt beside answers, so that
        a token waits for one of both."""
        look = self._gallery.pick() if self._gallery else None
        answering = self._scheduler.answering
        turn, self._turn = self._turn and answering > 0, False
        budget = self._pace.budget(answering, self._scheduler.beginning(self._pace.most))
        held = 0.0
        if self._gallery and self._pictures:
            waiting = () if answering else (*self._scheduler.waiting, *self._scheduler.running)
            coming = self._looking + self._pictures.decoding
            held = self._gallery.hold([one.views for one in waiting], coming)
        work = None if held else self._scheduler.schedule(0 if turn else budget)
        while self._scheduler.lost:
            sequence = self._scheduler.lost.pop()
            self._lost.add(sequence)
            self._choices[sequence][1].put(None)
        if work is None and look is None:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(held or None):
                    await self._wake.wait()
            return
        if turn and self._scheduler.reading:
            look = None
        self._turn = look is not None
        computing = loop.run_in_executor(self._thread, self._model.forward, work.batch) if work else None
        seeing: asyncio.Future[None] | None = None
        if self._gallery and look:  # in the thread of the passes, while this one's tokens are told
            seeing = loop.run_in_executor(self._thread, self._gallery.work, look, self._pace.spare(answering))
        try:
            if work and computing:
                await self._compute(work, computing)
        finally:
            if self._gallery and look and seeing:
                await seeing
                self._gallery.tell(look)

    async def _compute(self, work: Pass, computing: asyncio.Future[NDArray[np.float32]]) -> None:
        """Wait for a pass and tell what came of it."""
        started = time.monotonic()
        allowed = self._allowed(work)  # while the pass runs
        logits = await computing
        self._made += 1
        self._pace.learn(work, time.monotonic() - started)
        self._scheduler.advance(work)
        self._tell(work, logits, allowed)

    def _allowed(self, work: Pass) -> dict[int, NDArray[np.float32]]:
        """For the rows whose choice has a grammar, what lets only those tokens come next that may."""
        masks: dict[int, NDArray[np.float32]] = {}
        for row, sequence in enumerate(work.sampled):
            if sequence in self._choices and (walk := self._choices[sequence][0].walk):
                masks[row] = walk.allowed()
        return masks

    def _tell(self, work: Pass, logits: NDArray[np.float32], allowed: dict[int, NDArray[np.float32]]) -> None:
        """Sample the rows that were asked for and pass the pieces on. Whoever left during the pass is passed over."""
        if not work.sampled:
            return
        params = [sequence.params for sequence in work.sampled]
        histories = [sequence.history for sequence in work.sampled]
        for sequence, sampled in zip(work.sampled, sample(logits, params, histories, allowed), strict=True):
            if sequence not in self._choices:
                continue
            choice, inbox = self._choices[sequence]
            if choice.walk and (limit := choice.walk.error):
                self._leave(sequence)
                inbox.put(BadRequest(f"the grammar met a limit: {limit[:200]}", param="response_format"))
                continue
            for piece in choice.feed(sampled):
                if piece.finish:
                    self._leave(sequence)
                inbox.put(piece)

    async def _tell_life(self) -> None:
        """As long as passes are made, tell those who have begun that they have not been forgotten."""
        seen = 0
        while True:
            await asyncio.sleep(PULSE)
            if seen != (seen := self._made):
                begun = (sequence for sequence in self._choices if sequence.blocks or sequence.preemptions)
                for inbox in {self._choices[sequence][1] for sequence in begun}:
                    inbox.put(None)

    def _fail(self, error: TertuliaError) -> None:
        if self._gallery:
            self._gallery.fail(error)
        for sequence, (_, inbox) in list(self._choices.items()):
            self._leave(sequence)
            inbox.put(error)
