"""Capabilities are probed, not believed: tiny real requests tell which fields of a request a backend honours."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import aclosing

from msgspec import Struct, structs

from tertulia.errors import TertuliaError, Timeout, Unsupported, Upstream
from tertulia.fold import Fold
from tertulia.router.checks import PLAIN, ROOM, THOUGHT, Check, Picture, checks, judge_usage, plain, thinks
from tertulia.types import Backend, Caller, ChatRequest, Chunk, Completion, Image, Usage

TOGETHER = 2
"""Requests of one probe that are under way at a time."""
_REFUSALS = frozenset({400, 404, 405, 422, 501})
"""Statuses by which a field is refused; none of them says that the next request will fare better."""
_CALLER = Caller("probe")
_PROMPT = 300
_IMAGE = 2000
"""Tokens that a question, and an image in it, are taken to cost at most until the bill comes."""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one field: whether it ``works`` (None: it could not be found out), ``why`` not, ``when`` that
    was (Unix seconds), what finding it out took in tokens and US dollars (None: the price isn't known). ``again`` says
    that an error came in between, which may be gone soon."""

    works: bool | None = None
    why: str = ""
    when: int = 0
    tokens: int = 0
    cost: float | None = None
    again: bool = False


class Purse:
    """What may be spent, in US dollars. The most that a request could cost is laid aside before it is sent."""

    def __init__(self, limit: float = math.inf, price: tuple[float, float] | None = None) -> None:
        self.spent = 0.0
        self._limit = limit
        self._price = price

    def most(self, request: ChatRequest) -> float:
        """What ``request`` may cost at most."""
        if self._price is None:
            return 0.0
        images = sum(isinstance(part, Image) for part in request.messages[0].content or ())
        written = (request.max_tokens or 0) * (request.n or 1)
        return (self._price[0] * (_PROMPT + images * _IMAGE) + self._price[1] * written) / 1e6

    def take(self, amount: float) -> bool:
        """Lay ``amount`` aside; False if there is not as much."""
        if self.spent + amount > self._limit:
            return False
        self.spent += amount
        return True

    def pay(self, laid: float, usage: Usage | None) -> float | None:
        """Pay out of what was ``laid`` aside: all of it where nobody tells what was used. What was paid is returned;
        None where neither the provider tells it nor the price is known."""
        cost = usage.cost if usage else None
        if cost is None and self._price is None:
            return None
        if cost is None and usage and self._price and not usage.estimated:
            cost = (self._price[0] * usage.prompt_tokens + self._price[1] * usage.completion_tokens) / 1e6
        cost = laid if cost is None else cost
        self.spent += cost - laid
        return cost


async def probe(
    backend: Backend,
    model: str,
    *,
    sees: bool,
    timeout: float,
    purse: Purse | None = None,
    picture: Picture | None = None,
) -> dict[str, Finding]:
    """What ``backend`` honours for ``model`` (its id there), by field: usage, tools, tool_choice, response_format,
    json_object, logprobs, seed, n, stop; image where the model ``sees``, image_url where there is a ``picture``, too.

    Each request may take ``timeout`` seconds. Raises nothing that a backend raises: that is among what was found.
    """
    asker = _Asker(backend, model, timeout, purse or Purse())
    usage, first = await asker.plain()
    found = {PLAIN: usage}
    if first is None:
        return found
    places = asyncio.Semaphore(TOGETHER)

    async def find(check: Check) -> None:
        async with places:
            found[check.name] = await asker.find(check)

    tried = checks(first, sees=sees, picture=picture)
    async with asyncio.TaskGroup() as group:
        for check in tried:
            group.create_task(find(check))
    found = {PLAIN: usage} | {check.name: found[check.name] for check in tried}
    return _compare(found)


def _compare(found: dict[str, Finding]) -> dict[str, Finding]:
    """A tool that is never called, not even when that is required, was not passed on to the model."""
    tools, forced = found["tools"], found["tool_choice"]
    if tools.works is None and not tools.again:
        if forced.works:
            found["tools"] = structs.replace(tools, why=f"{tools.why}; it does when that is required")
        elif forced.works is False and forced.why.startswith("no call"):
            found["tools"] = structs.replace(tools, works=False, why="it didn't call the tool, not even when required")
    return found


class _Tally(Struct):
    """What the requests of one check came to. ``cost`` is None once one of them had no known price."""

    tokens: int = 0
    cost: float | None = 0.0

    def add(self, tokens: int, cost: float | None) -> None:
        self.tokens += tokens
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def finding(self, works: bool | None, why: str = "", *, again: bool = False) -> Finding:
        when = int(time.time())
        return Finding(works=works, why=why, when=when, tokens=self.tokens, cost=self.cost, again=again)


class _Spent(Exception):
    """There is no money left."""


class _Asker:
    """Sends requests, one at a time for each check, and pays for them."""

    def __init__(self, backend: Backend, model: str, timeout: float, purse: Purse) -> None:
        self._backend = backend
        self._model = model
        self._timeout = timeout
        self._purse = purse
        self._calm = True

    async def plain(self) -> tuple[Finding, Completion | None]:
        """The first request: whether it can be asked at all. It finds out how the model wants to be asked, too."""
        tally = _Tally()
        try:
            try:
                answer = await self._ask(plain(ROOM), tally)
            except TertuliaError as error:
                # Some models that think have one temperature, and no other may be said.
                if error.status not in _REFUSALS or not _names(error, ("temperature",)):
                    raise
                self._calm = False
                answer = await self._ask(plain(ROOM), tally)
            if thinks(answer) and answer.choices[0].finish_reason == "length":
                answer = await self._ask(plain(THOUGHT), tally)
        except (TertuliaError, _Spent) as error:
            return tally.finding(None, _reason(error), again=True), None
        works, why = judge_usage(answer)
        return tally.finding(works, why), answer

    async def find(self, check: Check) -> Finding:
        """Whether what ``check`` is about works. A refusal counts as one of the field if it says so, or if the same
        request is answered without the field."""
        tally = _Tally()
        try:
            answers = [await self._ask(request, tally) for request in check.asks]
        except _Spent as error:
            return tally.finding(None, _reason(error), again=True)
        except TertuliaError as error:
            refused = error.status in _REFUSALS
            if refused and not (isinstance(error, Unsupported) or _names(error, check.clues)):
                refused = await self._passes(check.bare, tally)
            return tally.finding(False if refused else None, _reason(error), again=not refused)
        works, why = check.judge(answers)
        return tally.finding(works, why)

    async def _passes(self, request: ChatRequest, tally: _Tally) -> bool:
        try:
            await self._ask(request, tally)
        except (TertuliaError, _Spent):
            return False
        return True

    async def _ask(self, request: ChatRequest, tally: _Tally) -> Completion:
        """The whole answer. Raises what the backend raises, Timeout, or _Spent."""
        laid = self._purse.most(request)
        if not self._purse.take(laid):
            raise _Spent("the budget is spent")
        temperature = request.temperature if self._calm or request.temperature else None
        sent = structs.replace(request, model=self._model, temperature=temperature, caller=_CALLER)
        try:
            answer = await self._whole(sent)
        except TertuliaError as error:
            if error.status < 500:
                self._purse.spent -= laid  # who refuses charges nothing
            else:
                tally.add(0, self._purse.pay(laid, None))
            raise
        tally.add(answer.usage.total_tokens, self._purse.pay(laid, answer.usage))
        return answer

    async def _whole(self, request: ChatRequest) -> Completion:
        whole, last = Fold(), None
        try:
            async with asyncio.timeout(self._timeout), aclosing(self._backend.chat(request)) as answer:
                async for chunk in answer:
                    whole.add(chunk)
                    last = chunk if chunk.usage or last is None else last
        except TimeoutError:
            raise Timeout(f"no answer within {self._timeout:g} s") from None
        if last is not None and not last.usage:
            whole.add(_untold(last))
        completion = whole.completion()
        if not completion.choices:
            raise Upstream("its answer has no choice")
        return completion


def _untold(like: Chunk) -> Chunk:
    """The usage of an answer that ended without one."""
    usage = Usage(0, 0, 0, estimated=True)
    return Chunk(id=like.id, created=like.created, model=like.model, choices=[], usage=usage)


def _names(error: TertuliaError, clues: Sequence[str]) -> bool:
    """Whether ``error`` says that one of ``clues`` is at fault."""
    said = f"{error.param or ''} {error.message}".casefold()
    return any(clue in said for clue in clues)


def _reason(error: Exception) -> str:
    told = f"{error.status}: {error.message}" if isinstance(error, TertuliaError) else str(error)
    return told if len(told) <= 200 else f"{told[:199]}…"
