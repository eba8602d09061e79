"""One provider's part of an answer: what came of it, how fast, and what it cost."""

import math
import time

import msgspec
from msgspec import UNSET, structs

from tertulia.router.order import Candidate, characters
from tertulia.types import ChatRequest, Chunk, Delta, Message, Spent, Usage

MICRO = 1_000_000
PER_TOKEN = 4
"""Characters of a token, where nobody tells."""


class Part:
    """What ``candidate`` has answered so far. With ``keep`` its text is kept, for another to go on from."""

    def __init__(self, candidate: Candidate, request: ChatRequest, *, keep: bool) -> None:
        self.candidate = candidate
        self.begun = False
        self._chunks = self._characters = 0
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

    @property
    def said(self) -> int:
        """The tokens of its answer: as told, or else as many as its pieces and its length make likely."""
        return self.usage.completion_tokens if self.usage else max(self._chunks, -(-self._characters // PER_TOKEN))

    def add(self, chunk: Chunk) -> None:
        """Count a chunk. One that another provider could not go on from (a call, a thought, a refusal, several choices)
        makes the part not ``plain``."""
        if not self.begun:
            self.begun = True
            self._first = self.seconds
        if chunk.usage:
            self.usage = chunk.usage
            return
        self._chunks += 1
        for choice in chunk.choices:
            delta = choice.delta
            if delta.content:
                self._characters += len(delta.content)
                if self._keep:
                    self._texts.append(delta.content)
            if delta.reasoning_content or delta.tool_calls or delta.refusal or choice.index or choice.finish_reason:
                self.plain = False
                self._characters += len(delta.reasoning_content or "") + _arguments(delta)

    def spent(self, outcome: str) -> Spent:
        """The entry for the usage log. Where the provider did not tell, tokens are estimated and marked so: also those
        of a prompt whose answer nobody waited for."""
        request, candidate, usage = self._request, self.candidate, self.usage
        prompt = usage.prompt_tokens if usage else 0
        if usage is None and (self.begun or outcome == "cancelled"):
            prompt = prompt_of(request)
        return Spent(
            request_id=request.caller.request_id,
            token=request.caller.token,
            caller=request.caller.name,
            model=candidate.model,
            provider=candidate.provider,
            prompt_tokens=prompt,
            completion_tokens=self.said,
            cost=cost(candidate.price, prompt, self.said, usage),
            estimated=usage is None or usage.estimated,
            outcome=outcome,
            seconds=round(self.seconds, 3),
        )


def cost(price: tuple[float, float] | None, prompt: int, said: int, usage: Usage | None = None) -> int:
    """Millionths of a US dollar, rounded up: by the price, or as the provider told; 0 where neither is known."""
    if price is None:
        told = usage.cost if usage else None
        return math.ceil(told * MICRO - 1e-9) if told and 0 < told < MICRO else 0
    return math.ceil(price[0] * prompt + price[1] * said - 1e-9)


def price_usage(chunk: Chunk, part: Part, before: list[Part]) -> Chunk:
    """The last chunk, with what the whole answer cost, where that is known, and with what earlier parts of it said."""
    usage = chunk.usage
    price = part.candidate.price
    if not usage or (price is None and not before):
        return chunk
    known = all(one.candidate.price is not None for one in (*before, part))
    spent = cost(price, usage.prompt_tokens, usage.completion_tokens, usage)
    spent += sum(one.spent("continued").cost for one in before)
    if before:
        told = sum(one.said for one in before)
        usage = structs.replace(
            usage,
            prompt_tokens=max(usage.prompt_tokens - told, 0),
            completion_tokens=usage.completion_tokens + told,
            estimated=True,
        )
    told = structs.replace(usage, cost=spent / MICRO if known else None)
    return structs.replace(chunk, usage=told, raw=UNSET, meta=UNSET)


def go_on(request: ChatRequest, parts: list[Part]) -> ChatRequest:
    """``request`` with what was said so far, if anything was, as the beginning of the answer that is to go on."""
    said = "".join(part.text for part in parts)
    if not said:
        return request
    told = sum(part.said for part in parts)
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
    """Whether another could go on from where ``parts`` broke off: text alone, in no form."""
    bound = (request.response_format, request.structured_outputs, request.logprobs, request.seed)
    return (request.n or 1) == 1 and not any(bound) and all(part.plain for part in parts)


def prompt_of(request: ChatRequest) -> int:
    """About as many tokens as a prompt has: four characters make one."""
    tools = len(msgspec.json.encode(request.tools)) if request.tools else 0
    return -(-(characters(request) + tools) // PER_TOKEN)


def _arguments(delta: Delta) -> int:
    return sum(len(call.function.arguments or "") for call in delta.tool_calls or () if call.function)
