"""A Backend that holds Backends: those who could answer are tried one after another, until one has begun."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import UNSET, structs

from tertulia.config import Router as Settings
from tertulia.errors import TertuliaError, Timeout, UnknownModel, Unsupported, Upstream
from tertulia.router.health import Budget, Health
from tertulia.router.index import Index
from tertulia.router.order import LOCAL, Candidate
from tertulia.router.part import Part, go_on, goes_on, price_usage
from tertulia.router.plan import Plan, make_plan
from tertulia.router.status import Standing, stand
from tertulia.types import Attempt, ChatRequest, Chunk, ChunkMeta, Entry, ModelCard, Spent

log = logging.getLogger("tertulia.router")

PATIENCE = 2.0
"""Seconds that a request waits at most before it asks the same candidate again."""
BACKOFF = 0.25
MARGIN = 5.0
FOR_EVER = 1e9
FRESH = 1.0
"""Seconds for which the list of models is not made anew."""
_FINAL = frozenset({401, 402, 403, 404})
"""Statuses that a second question to the same candidate won't change."""


class Router:
    """``spend`` takes each entry of the usage log; ``used`` is told of each ``(provider, model)`` that is asked."""

    def __init__(
        self,
        index: Index,
        settings: Settings,
        *,
        spend: Callable[[Spent], None] = lambda spent: None,
        used: Callable[[str, str], None] = lambda provider, model: None,
    ) -> None:
        self.index = index
        self.settings = settings
        self.health = Health(settings.breaker_failures, settings.breaker_pause)
        self.budget = Budget(settings.retry_budget)
        self.spend = spend
        self.used = used
        self._cards: list[ModelCard] = []
        self._told = -FRESH
        self._entries: list[Entry] = []
        self._listed = -FRESH

    def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer. Raises what the last candidate raised, with the ``route`` on it; Unsupported where nobody can honour
        what was asked, UnknownModel where nobody serves the model."""
        return Answer(self, request).chunks()

    async def count(self, request: ChatRequest) -> int:
        """Only a model of this machine tells how many tokens a prompt comes to."""
        plan = make_plan(self.index, request, self.settings, self.health.look())
        for candidate in plan.candidates:
            if candidate.provider == LOCAL:
                return await candidate.backend.count(structs.replace(request, model=candidate.id, models=None))
        raise Unsupported(f"{request.model} is not a model of this machine: only those count tokens", param="model")

    @property
    def ready(self) -> bool:
        """Whether the models of this machine that were named at the start can answer."""
        return self.index.home.ready

    async def metrics(self) -> str:
        """The figures of this machine's engines."""
        return await self.index.home.metrics()

    def status(self) -> Standing:
        """How everybody does who could be asked."""
        return stand(self.index, self.health, self.budget)

    def resolve(self, name: str | None) -> str:
        """The id, with its suffix, of the model that ``name`` means, as far as it is known here."""
        wish = self.index.read(name or "")
        suffix = wish.provider or wish.policy
        return self.index.resolve(wish.model, wish.provider) + (f":{suffix}" if suffix else "")

    def unknown(self, name: str) -> UnknownModel:
        """The error for a model that nobody here serves."""
        return self.index.unknown(self.index.read(name))

    def models(self) -> list[ModelCard]:
        """The models that can be asked; with a stand-in those of the whole catalog. The same list while it is fresh."""
        if (now := time.monotonic()) - self._told >= FRESH:
            self._cards = self.index.cards(self.health.look(), stand_in=self.settings.stand_in)
            self._told = now
        return self._cards

    def entries(self) -> list[Entry]:
        """Every model that there is, whoever can be asked. The same list while it is fresh."""
        if (now := time.monotonic()) - self._listed >= FRESH:
            self._entries = self.index.entries(self.health.look())
            self._listed = now
        return self._entries

    def supports(self, request: ChatRequest) -> list[str]:
        """Left to :meth:`chat`, which says who could."""
        return []


class Answer:
    """One request on its way through those who could answer it."""

    _plan: Plan

    def __init__(self, router: Router, request: ChatRequest) -> None:
        self._router = router
        self._request = request
        self._failed: dict[tuple[str, str], tuple[Candidate, TertuliaError]] = {}
        self._again: set[tuple[str, str]] = set()
        self._tries = 0
        self._parts: list[Part] = []
        self._first: Chunk | None = None
        self._keep = bool(request.continue_ if request.continue_ is not None else router.settings.continue_)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """The answer, from one candidate or from several."""
        router, error = self._router, None
        self._plan = self._make_plan()
        self._waiting = list(self._plan.candidates)
        router.budget.earn()
        while candidate := await self._next():
            yield _patient(router.settings)
            part, outcome = Part(candidate, self._request, keep=self._keep), "cancelled"
            router.health.begin(candidate.key)
            router.used(candidate.provider, candidate.model)
            try:
                async with aclosing(candidate.backend.chat(self._sent(candidate))) as answer:
                    async for chunk in answer:
                        if chunk.sign_of_life:
                            yield chunk
                            continue
                        if not part.begun and self._parts:
                            yield _comment(chunk, f"continued by {candidate.provider}")
                        yield self._settle(chunk, part)
                outcome = "ok"
                return
            except TertuliaError as fault:
                error = fault
                outcome = self._note(candidate, part, fault)
                if outcome not in ("failed_over", "continued"):
                    raise self._last(fault) from None
            finally:
                self._close(part, outcome)
        raise self._last(error or Upstream("nobody is left to ask"))

    def _make_plan(self) -> Plan:
        router, request = self._router, self._request
        try:
            return make_plan(router.index, request, router.settings, router.health.look())
        except TertuliaError as error:
            caller, model = request.caller, (request.model or "")[:200]
            outcome = error.code or error.type
            router.spend(
                Spent(
                    request_id=caller.request_id,
                    token=caller.token,
                    caller=caller.name,
                    model=model,
                    provider="",
                    outcome=outcome,
                )
            )
            raise

    # ---------------------------------------------------------------- who is next

    async def _next(self) -> Candidate | None:
        """The next to be asked, after a pause where it is one that failed before; None when enough has been tried."""
        while self._waiting:
            candidate = self._waiting.pop(0)
            if self._rests(candidate) and (self._tries or not all(map(self._rests, self._waiting))):
                self._route(candidate, "skipped", "it failed of late and is given a rest")
                continue
            if not self._may_try():
                return None
            return candidate
        candidate, wait = self._once_more()
        if candidate is None or wait > PATIENCE or not self._may_try():
            return None
        self._again.add(candidate.key)
        await asyncio.sleep(wait)
        return candidate

    def _rests(self, candidate: Candidate) -> bool:
        state = self._router.health.look().get(candidate.key)
        return bool(state and state.resting)

    def _may_try(self) -> bool:
        """Whether one more attempt is allowed. To go on with an answer that broke off costs nothing of the budget."""
        allowed = not self._tries or (
            self._tries < self._router.settings.attempts and (bool(self._parts) or self._router.budget.take())
        )
        self._tries += allowed
        return allowed

    def _once_more(self) -> tuple[Candidate | None, float]:
        """Who may be asked a second time, and in how many seconds."""
        best, least = None, float("inf")
        for key, (candidate, error) in self._failed.items():
            if key in self._again or error.status in _FINAL or isinstance(error, Timeout):
                continue
            wait = max(BACKOFF * (0.5 + random.random()), error.retry_after or 0)
            if wait < least:
                best, least = candidate, wait
        return best, least

    # ---------------------------------------------------------------- what comes and goes

    def _sent(self, candidate: Candidate) -> ChatRequest:
        request = go_on(self._request, self._parts) if self._parts else self._request
        return structs.replace(request, model=candidate.id, models=None, continue_=None, asked=candidate.model)

    def _settle(self, chunk: Chunk, part: Part) -> Chunk:
        """``chunk`` as the caller is to see it: one answer, whoever it came from."""
        if fresh := not part.begun:
            self._router.health.begun(part.candidate.key)
        part.add(chunk)
        if self._first is None:
            self._first = chunk
            self._route(part.candidate, "served", seconds=part.first)
            meta = chunk.meta or ChunkMeta()
            meta.provider, meta.route = part.candidate.provider, self._plan.route
            if part.candidate.model not in self._plan.models:
                meta.warnings.append(self._stands_in(part.candidate))
            chunk.meta = meta
        elif self._parts:
            first = self._first
            chunk = structs.replace(chunk, id=first.id, created=first.created, model=first.model, raw=UNSET, meta=UNSET)
            if fresh and chunk.choices:
                chunk.choices[0].delta.role = UNSET
        return price_usage(chunk, part, self._parts) if chunk.usage else chunk

    def _stands_in(self, candidate: Candidate) -> str:
        """What is told where another model answers than was asked for."""
        said = f"{self._plan.models[0]} could not be asked: {candidate.model} of this machine answered"
        log.warning("%s", said[:400])
        return said

    def _note(self, candidate: Candidate, part: Part, error: TertuliaError) -> str:
        """What becomes of a failure: ``failed_over`` or ``continued`` when another is to be asked, else its code."""
        self._route(candidate, "failed", f"{error.status}: {error.message}"[:300], part.seconds)
        if not (error.retryable or error.status >= 500):
            # another may well go on with what this one won't
            return "failed_over" if self._parts and self._more() else error.code or error.type
        if not (error.status in (401, 403) and self._request.caller.bearer):  # it may be the caller's own token
            self._router.health.fail(candidate.key, error.retry_after, error.code or error.type)
        self._failed[candidate.key] = (candidate, error)
        if not (part.begun or self._parts):
            return "failed_over" if self._more() else error.code or error.type
        if part.begun:
            self._parts.append(part)
        if not (self._keep and goes_on(self._request, self._parts) and self._more()):
            return error.code or error.type
        log.warning("%s broke off after %d tokens: going on elsewhere", candidate.provider, part.said)
        return "continued"

    def _more(self) -> bool:
        """Whether anybody is left to ask."""
        if self._tries >= self._router.settings.attempts or not (self._parts or self._router.budget.any):
            return False
        candidate, wait = self._once_more()
        return not all(map(self._rests, self._waiting)) or (candidate is not None and wait <= PATIENCE)

    def _close(self, part: Part, outcome: str) -> None:
        """An attempt is over: its health, and its entry in the usage log."""
        health, key = self._router.health, part.candidate.key
        if outcome == "ok":
            health.answer(key, part.first if self._request.stream else None, part.said, part.seconds)
        else:
            health.leave(key)
        self._router.spend(part.spent(outcome))

    def _last(self, error: TertuliaError) -> TertuliaError:
        error.route = self._plan.route
        return error

    def _route(self, candidate: Candidate, outcome: str, why: str = "", seconds: float = 0.0) -> None:
        attempt = Attempt(candidate.provider, candidate.model, outcome, why, round(seconds, 4))
        self._plan.route.append(attempt)


def _patient(settings: Settings) -> Chunk:
    """A sign of life: those who are asked now hold the clock, and are somewhat quicker than whoever waits for us."""
    bounds = (settings.first_timeout, settings.idle_timeout, settings.whole_timeout)
    patience = max(bounds) + MARGIN if all(bounds) else FOR_EVER
    return Chunk(id="", created=0, model="", choices=[], meta=ChunkMeta(patience=patience))


def _comment(like: Chunk, text: str) -> Chunk:
    """A sign of life that says something to the stream's reader."""
    return Chunk(id=like.id, created=like.created, model=like.model, choices=[], comment=text)
