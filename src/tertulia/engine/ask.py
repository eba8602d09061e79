"""What a request asks of the engine: its fields checked against the model, its defaults filled in."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.checkpoint import Checkpoint
from tertulia.engine.choice import Limits
from tertulia.engine.sampler import History, Params, choice_seed
from tertulia.engine.tokens import Tokens
from tertulia.errors import BadRequest, ContextOverflow
from tertulia.types import ChatRequest

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""For a model that brings no chat template."""

MAX_TOKENS = 1024
"""The page's default of ``max_tokens``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A request as the scheduler needs it: ``n`` choices, each with its params, and when they end."""

    n: int
    params: list[Params]
    limits: Limits
    prompt: NDArray[np.int64] | None
    warnings: list[str]

    def history(self) -> History:
        return History() if self.prompt is None else History(self.prompt)


def refused(request: ChatRequest) -> list[str]:
    """The fields of ``request`` that this engine can't honour."""
    fields: list[str] = []
    if request.tools and request.tool_choice != "none":
        fields.append("tools")
    return fields


class Asker:
    """Plans requests for one model of ``context`` tokens."""

    def __init__(self, tokens: Tokens, checkpoint: Checkpoint, context: int) -> None:
        self._tokens = tokens
        self._vocabulary = checkpoint.shape.vocabulary
        self._stop_ids = checkpoint.stop_ids
        self._defaults = checkpoint.defaults
        self._context = context

    def plan(self, request: ChatRequest, prompt: list[int], seed: int) -> Plan:
        """Check ``request`` against the model. ``seed`` is for a request that names none.

        Raises ContextOverflow, or BadRequest for token ids that the model doesn't have.
        """
        most = self._most(request, len(prompt))
        n = request.n or 1
        seed = seed if request.seed is None else request.seed
        ids, bias = self._bias(request)
        own = self._stop_ids if not request.ignore_eos else frozenset[int]()
        extra = self._known(request.stop_token_ids or [], "stop_token_ids")
        stop_ids = own | frozenset(extra)
        banned = np.array(sorted((self._stop_ids if request.ignore_eos else frozenset[int]()) | stop_ids), np.int64)
        common = Params(
            temperature=self._value(request.temperature, "temperature", 1.0),
            top_p=self._value(request.top_p, "top_p", 1.0),
            top_k=max(int(self._value(request.top_k, "top_k", 0)), 0),
            min_p=self._value(request.min_p, "min_p", 0.0),
            frequency=request.frequency_penalty or 0.0,
            presence=request.presence_penalty or 0.0,
            repetition=self._value(request.repetition_penalty, "repetition_penalty", 1.0),
            bias_ids=ids,
            bias=bias,
            banned=banned,
            banned_until=request.min_tokens or 0,
            top=(request.top_logprobs or 0) if request.logprobs else None,
        )
        stops = [request.stop] if isinstance(request.stop, str) else list(request.stop or [])
        return Plan(
            n=n,
            params=[replace(common, seed=choice_seed(seed, index)) for index in range(n)],
            limits=Limits(stop_ids, [stop for stop in stops if stop], most),
            prompt=np.unique(np.array(prompt, np.int64)) if common.repetition != 1 else None,
            warnings=_warnings(request),
        )

    def _most(self, request: ChatRequest, prompt: int) -> int:
        """Tokens that the answer may have."""
        asked = request.max_completion_tokens or request.max_tokens
        room = self._context - prompt
        if room < 1 or (asked or 0) > room:
            wanted = f" and {asked} for the answer" if asked else ""
            raise ContextOverflow(
                f"this model's context is {self._context} tokens; the messages take {prompt}{wanted}. "
                "Shorten the messages" + (f" or ask for at most {room} tokens" if asked and room > 0 else ""),
                param="messages" if room < 1 or not asked else _named(request),
            )
        least = request.min_tokens or 0
        most = asked or min(MAX_TOKENS, room)
        if least > most:
            raise BadRequest(f"min_tokens is {least}, but the answer may have {most} at most", param="min_tokens")
        return most

    def _value(self, asked: float | None, name: str, otherwise: float) -> float:
        return self._defaults.get(name, otherwise) if asked is None else asked

    def _known(self, ids: list[int], param: str) -> list[int]:
        for index, token in enumerate(ids):
            if not 0 <= token < self._vocabulary:
                place = token if param == "logit_bias" else index
                raise BadRequest(
                    f"{token} is no token id: this model has {self._vocabulary}", param=f"{param}[{place}]"
                )
        return ids

    def _bias(self, request: ChatRequest) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Token ids and what is added to their logits. A list holds one number for each token id, from 0 on."""
        asked = request.logit_bias or {}
        if isinstance(asked, list):
            pairs = {index: value for index, value in enumerate(asked) if value}
        else:
            pairs = {int(key): value for key, value in asked.items()}
        self._known(list(pairs), "logit_bias")
        return np.fromiter(pairs, np.int64, len(pairs)), np.fromiter(pairs.values(), np.float32, len(pairs))


def _named(request: ChatRequest) -> str:
    return "max_completion_tokens" if request.max_completion_tokens else "max_tokens"


def _warnings(request: ChatRequest) -> list[str]:
    warnings: list[str] = []
    if request.reasoning_effort and request.reasoning_effort != "none":
        warnings.append("reasoning_effort has no effect on this model")
    if request.tool_prompt and not request.tools:
        warnings.append("tool_prompt has no effect without tools")
    return warnings
