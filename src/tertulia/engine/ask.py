"""What a request asks of the engine: its fields checked against the model, its defaults filled in."""

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.calls import Guide, Offer, Speller, read_offer, schemas
from tertulia.engine.checkpoint import Checkpoint
from tertulia.engine.choice import Choice, Limits
from tertulia.engine.constraint import Constraint, read_constraint
from tertulia.engine.formats import find_format
from tertulia.engine.grammar import Grammar, Grammars
from tertulia.engine.parse import Parser, Patterns
from tertulia.engine.sampler import History, Params, choice_seed
from tertulia.engine.scheduler import Sequence
from tertulia.engine.sight import Sight
from tertulia.engine.template import Template, continues
from tertulia.engine.tokens import Tokens
from tertulia.engine.trial import PATIENCE
from tertulia.engine.view import View
from tertulia.errors import BadRequest, ContextOverflow
from tertulia.types import ChatRequest

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""For a model that brings no chat template."""

MAX_TOKENS = 1024
"""The page's default of ``max_tokens``."""


EFFORTS = {"minimal": 128, "low": 512, "medium": 2048, "high": 8192}
"""Tokens of thinking that a ``reasoning_effort`` allows; ``xhigh`` allows any number."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request as the model reads it: ``ids``, whether they end inside a thinking block (``opened``), and the pictures
    in it (``views``)."""

    ids: list[int]
    opened: bool
    warnings: list[str]
    views: list[View] = field(default_factory=list[View])


@dataclass(frozen=True, slots=True)
class Plan:
    """A request as the scheduler needs it: a prompt, and ``n`` choices, each with its params; what holds them to a
    grammar, and what takes them apart."""

    n: int
    prompt: Encoded
    params: list[Params]
    limits: Limits
    grammar: Grammar | None
    patterns: Patterns | None
    shown: frozenset[int]
    warnings: list[str]

    def choice(self, index: int, prefixes: list[bytes], tokens: Tokens, leap: bool) -> Choice:
        """The ``index``-th choice, at its beginning. ``prefixes`` are the prompt's digests, where they are known."""
        seen = np.unique(np.array(self.prompt.ids, np.int64)) if self.params[index].repetition != 1 else None
        history = History() if seen is None else History(seen)
        sequence = Sequence(self.prompt.ids, self.params[index], history, prefixes=prefixes, views=self.prompt.views)
        walk = self.grammar.begin() if self.grammar else None
        parser = Parser(self.patterns, self.prompt.opened) if self.patterns else None
        return Choice(index, sequence, self.limits, tokens, walk, parser, self.shown, leap)


class Asker:
    """Plans requests for one model of ``context`` tokens. ``named`` is the format of its calls, where its template
    isn't to say; ``sight`` puts pictures into the prompts of a model that sees."""

    def __init__(
        self,
        tokens: Tokens,
        checkpoint: Checkpoint,
        context: int,
        *,
        named: str = "",
        care: bool = True,
        sight: Sight | None = None,
    ) -> None:
        self._tokens = tokens
        self._vocabulary = checkpoint.shape.vocabulary
        self._stop_ids = checkpoint.stop_ids
        self._defaults = checkpoint.defaults
        self._context = context
        source = checkpoint.template or PLAIN_TEMPLATE
        self._sight = sight
        word = sight.word if sight else ""
        self._template = Template(source, checkpoint.special, tools=checkpoint.tool_template, care=care, image=word)
        self._format = find_format(checkpoint.tool_template or source, named)
        if not self._template.knows_tools and not named:
            self._format = self._format.with_envelope()
        self._grammars = Grammars(tokens, checkpoint.shape.vocabulary, checkpoint.stop_ids)
        words = self._format.words
        self._shown = frozenset(token for token in tokens.special if (word := tokens.word(token)) and word in words)
        self._speller: Speller | None = None

    async def aclose(self) -> None:
        """End the process in which forms are tried."""
        await self._grammars.aclose()

    async def count(self, request: ChatRequest) -> int:
        """The number of prompt tokens that ``request`` comes to."""
        form = read_constraint(request)
        return len((await self._prompt(request, form.note if form else "")).ids)

    async def plan(self, request: ChatRequest, seed: int) -> Plan:
        """Check ``request`` against the model. ``seed`` is for a request that names none.

        Raises TemplateRefused, ContextOverflow, or BadRequest for what can't be enforced and for token ids that the
        model doesn't have.
        """
        offer, form = read_offer(request), read_constraint(request)
        prompt = await self._prompt(request, form.note if form else "")
        most = self._most(request, len(prompt.ids))
        grammar, unenforced = await self._grammar(request, offer, form, prompt.opened)
        params = self._params(request)
        n = request.n or 1
        seed = seed if request.seed is None else request.seed
        reads = offer is not None or self._format.thinking is not None
        return Plan(
            n=n,
            prompt=prompt,
            params=[replace(params, seed=choice_seed(seed, index)) for index in range(n)],
            limits=self._limits(request, most),
            grammar=grammar,
            patterns=Patterns(self._format, offer.tools if offer else []) if reads else None,
            shown=self._shown if reads else frozenset(),
            warnings=self._warnings(request) + prompt.warnings + unenforced,
        )

    async def _grammar(
        self, request: ChatRequest, offer: Offer | None, form: Constraint | None, opened: bool
    ) -> tuple[Grammar | None, list[str]]:
        """What holds the answer, and warnings of what isn't enforced. Each part is tried by itself first: then an
        error names its place."""
        if not (offer or form):
            return None, []
        if self._speller is None:  # reads the vocabulary: that is not on the clock below
            self._speller = Speller(await asyncio.to_thread(self._grammars.special), self._stop_ids)
        warnings: list[str] = []
        parameters: list[Constraint] = []
        try:
            async with asyncio.timeout(2 * PATIENCE):
                if form:
                    form, told = await self._grammars.settle(form)
                    warnings += told
                for part in schemas(request, offer) if offer else []:
                    settled, told = await self._grammars.settle(part)
                    parameters.append(settled)
                    warnings += told
        except TimeoutError:
            raise BadRequest(f"the tools take longer than {2 * PATIENCE:g} s to compile", param="tools") from None
        whole = Guide(self._format, offer, parameters, form, opened).constraint(self._speller)
        return (await self._grammars.compile(whole))[0] if whole else None, warnings

    async def _prompt(self, request: ChatRequest, note: str) -> Encoded:
        """The prompt. Where no thinking is wanted and the template leaves the block open, or leaves it to the model,
        it is closed."""
        rendered = self._template.render(request, note)
        text, thinking, opened = rendered.text, self._format.thinking, False
        if thinking is not None:
            opened = text.rstrip().endswith(thinking.begin.rstrip())
            if request.reasoning_effort == "none" and not thinking.anywhere and not continues(request):
                if not text.rstrip().endswith(thinking.end):
                    text = f"{text.rstrip() if opened else text + thinking.begin}\n\n{thinking.end}\n\n"
                opened = False
        if self._sight and (shown := await self._sight.load(request)):
            ids, views = await asyncio.to_thread(self._sight.encode, text, shown)
            return Encoded(ids, opened, rendered.warnings, views)
        encode = self._tokens.encode
        ids = encode(text) if len(text) < 20_000 else await asyncio.to_thread(encode, text)
        return Encoded(ids, opened, rendered.warnings)

    def _limits(self, request: ChatRequest, most: int) -> Limits:
        own = self._stop_ids if not request.ignore_eos else frozenset[int]()
        extra = self._known(request.stop_token_ids or [], "stop_token_ids")
        stops = [request.stop] if isinstance(request.stop, str) else list(request.stop or [])
        thoughts = 0 if request.reasoning_effort == "none" else EFFORTS.get(request.reasoning_effort or "")
        thinking = self._format.thinking
        closing = "" if thinking is None else thinking.end if thinking.anywhere else f"\n{thinking.end}\n\n"
        return Limits(
            stop_ids=own | frozenset(extra),
            stops=[stop for stop in stops if stop],
            most=most,
            thoughts=thoughts if thinking else None,
            closing=tuple(self._tokens.encode(closing)) if thoughts is not None else (),
        )

    def _params(self, request: ChatRequest) -> Params:
        ids, bias = self._bias(request)
        stop_ids = self._stop_ids | frozenset(request.stop_token_ids or [])
        return Params(
            temperature=self._value(request.temperature, "temperature", 1.0),
            top_p=self._value(request.top_p, "top_p", 1.0),
            top_k=max(int(self._value(request.top_k, "top_k", 0)), 0),
            min_p=self._value(request.min_p, "min_p", 0.0),
            frequency=request.frequency_penalty or 0.0,
            presence=request.presence_penalty or 0.0,
            repetition=self._value(request.repetition_penalty, "repetition_penalty", 1.0),
            bias_ids=ids,
            bias=bias,
            banned=np.array(sorted(stop_ids), np.int64),
            banned_until=request.min_tokens or 0,
            top=(request.top_logprobs or 0) if request.logprobs else None,
        )

    def _warnings(self, request: ChatRequest) -> list[str]:
        warnings: list[str] = []
        if request.reasoning_effort not in (None, "none") and self._format.thinking is None:
            warnings.append("reasoning_effort has no effect on this model, which doesn't think aloud")
        if request.tool_prompt and not request.tools:
            warnings.append("tool_prompt has no effect without tools")
        return warnings

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
