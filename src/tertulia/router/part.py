"""One provider's part of an answer: what came of it, how fast, and what it cost."""

import math
import time

from msgspec import UNSET, structs

from tertulia.router.order import Candidate
from tertulia.types import ChatRequest, Chunk, CompletionDetails, Message, PromptDetails, Spent, Usage

MICRO = 1_000_000


class Part:
    """What ``candidate`` has answered so far. With ``keep`` its text is kept, for another to go on from."""

    def __init__(self, candidate: Candidate, request: ChatRequest, *, keep: bool) -> None:
        self.candidate = candidate
        self.begun = False
        self.chunks = 0
        self.usage: Usage | None = None
        self.plain = keep
        self._keep = keep
        self._texts: list[str] = []
        self._request = request
        self._started = time.perf_counter()
        self._first = 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def first(self) -> float:
        """Seconds to the first piece."""
        return self._first

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def add(self, chunk: Chunk) -> None:
        """Count a chunk. One that another provider could not go on from (a call, a thought, a refusal, several choices)
        makes the part not ``plain``."""
        if not self.begun:
            self.begun = True
            self._first = self.seconds
        if chunk.usage:
            self.usage = chunk.usage
            return
        self.chunks += 1
        if self._keep:
            for choice in chunk.choices:
                delta = choice.delta
                if choice.index or delta.tool_calls or delta.reasoning_content or delta.refusal or choice.finish_reason:
                    self.plain = False
                if delta.content:
                    self._texts.append(delta.content)

    def spent(self, outcome: str) -> Spent:
        """The entry for the usage log. Where the provider did not tell, chunks count as tokens and are marked so."""
        request, candidate, usage = self._request, self.candidate, self.usage
        prompt = usage.prompt_tokens if usage else 0
        said = usage.completion_tokens if usage else self.chunks
        if usage is None and self.begun:
            prompt = _guess(request)
        return Spent(
            request_id=request.caller.request_id,
            token=request.caller.token,
            caller=request.caller.name,
            model=candidate.model,
            provider=candidate.provider,
            prompt_tokens=prompt,
            completion_tokens=said,
            cost=cost(candidate.price, prompt, said),
            estimated=usage is None or usage.estimated,
            outcome=outcome,
            seconds=round(self.seconds, 3),
        )


def cost(price: tuple[float, float] | None, prompt: int, said: int) -> int:
    """Millionths of a US dollar, rounded up; 0 where the price is not known."""
    return math.ceil(price[0] * prompt + price[1] * said - 1e-9) if price else 0


def price_usage(chunk: Chunk, candidate: Candidate, before: list[Part]) -> Chunk:
    """The last chunk with what the answer cost, where that is known, and with what earlier parts of it said."""
    usage = chunk.usage
    if not usage or (candidate.price is None and not before):
        return chunk
    if before:
        told = sum(part.chunks for part in before)
        usage = structs.replace(
            usage,
            prompt_tokens=max(usage.prompt_tokens - told, 0),
            completion_tokens=usage.completion_tokens + told,
            estimated=True,
        )
    spent = cost(candidate.price, usage.prompt_tokens, usage.completion_tokens)
    spent += sum(part.spent("").cost for part in before)
    return structs.replace(chunk, usage=structs.replace(usage, cost=spent / MICRO), raw=UNSET)


def go_on(request: ChatRequest, parts: list[Part]) -> ChatRequest:
    """``request`` with what was said so far as the beginning of the answer, which is to go on from there."""
    said = "".join(part.text for part in parts)
    told = sum(part.chunks for part in parts)
    last = request.messages[-1]
    turns = request.messages
    if last.role == "assistant" and isinstance(last.content, str):
        said, turns = last.content + said, turns[:-1]
    most = request.max_completion_tokens or request.max_tokens
    return structs.replace(
        request,
        messages=[*turns, Message(role="assistant", content=said)],
        continue_final_message=True,
        max_tokens=None if most is None else max(most - told, 1),
        max_completion_tokens=None,
    )


def goes_on(request: ChatRequest, parts: list[Part]) -> bool:
    """Whether another could go on from where ``parts`` broke off: text alone, in no form, and some of it."""
    bound = (request.response_format, request.structured_outputs, request.logprobs, request.seed)
    return (request.n or 1) == 1 and not any(bound) and bool(parts[-1].text) and all(part.plain for part in parts)


def _guess(request: ChatRequest) -> int:
    """About four characters a token."""
    texts = (message.content for message in request.messages)
    return sum(len(text) for text in texts if isinstance(text, str)) // 4


def no_usage(request: ChatRequest, parts: list[Part]) -> Usage:
    """What an answer came to that nobody told the tokens of."""
    prompt, said = _guess(request), sum(part.chunks for part in parts)
    return Usage(prompt, said, prompt + said, PromptDetails(), CompletionDetails(), estimated=True)
