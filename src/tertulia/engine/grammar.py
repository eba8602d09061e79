"""Grammars that hold an answer to its form, by llguidance: which tokens may come next, and which must.

A form is tried in a process of its own first (``trial.py``); what passes is compiled here, and kept. Each choice begins
with a copy of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from tertulia.engine.constraint import Constraint
from tertulia.engine.tokens import Tokens
from tertulia.engine.trial import PATIENCE, Trial, Verdict
from tertulia.errors import BadRequest, Busy

KEPT = 512
"""Forms of which is kept what they came to."""
SIZE = 1 << 20
"""Characters of compiled grammars that are kept; one of them costs some hundred bytes."""
LIMITS = LLParserLimits(max_items_in_row=20_000)
"""Where any of hundreds of objects may come next, llguidance's own 2,000 is too few."""


class Grammars:
    """The grammars of one model: its vocabulary in llguidance's form, and what became of the forms asked for lately."""

    def __init__(self, tokens: Tokens, vocabulary: int, stop_ids: frozenset[int]) -> None:
        self._tokens = tokens
        self._vocabulary = vocabulary
        self._stop_ids = sorted(stop_ids)
        self._tokenizer: LLTokenizer | None = None
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._matchers: OrderedDict[str, LLMatcher] = OrderedDict()
        self._trial = Trial()
        self._turn = asyncio.Lock()

    async def settle(self, constraint: Constraint) -> tuple[Constraint, list[str]]:
        """``constraint`` with a grammar that llguidance takes, and warnings of what of it isn't enforced.

        Raises BadRequest that names the keyword and its path, or says what limit was met; Busy where others' forms take
        all the time.
        """
        key = f"{constraint.param} {constraint.grammar}"
        if key not in self._verdicts:
            async with self._turns():
                if key not in self._verdicts:
                    self._verdicts[key] = await asyncio.to_thread(self._try, constraint)
        verdict = self._verdicts[key]
        _keep(self._verdicts, key, sum(len(name) for name in self._verdicts))
        if verdict.wrong:
            raise BadRequest(verdict.wrong, param=verdict.param)
        self._verdicts.setdefault(f"{constraint.param} {verdict.grammar}", Verdict(verdict.grammar))
        return replace(constraint, grammar=verdict.grammar, schema=None), verdict.warnings

    async def compile(self, constraint: Constraint) -> tuple["Grammar", list[str]]:
        """The grammar of ``constraint``, and warnings. Raises as :meth:`settle` does."""
        settled, warnings = await self.settle(constraint)
        text = settled.grammar
        if text not in self._matchers:
            async with self._turns():
                if text not in self._matchers:
                    self._matchers[text] = await asyncio.to_thread(self._compile, settled)
        matcher = self._matchers[text]
        _keep(self._matchers, text, sum(len(one) for one in self._matchers))
        return Grammar(matcher, self._vocabulary), warnings

    def special(self) -> dict[str, int]:
        """The tokens that a grammar has to name, by how they are spelt: text never stands for them."""
        tokenizer = self._opened()
        added = ((self._tokens.word(token), token) for token in self._tokens.added)
        return {word: token for word, token in added if word and tokenizer.is_special_token(token)}

    async def aclose(self) -> None:
        """End the process in which forms are tried."""
        await asyncio.to_thread(self._trial.close)

    @asynccontextmanager
    async def _turns(self) -> AsyncGenerator[None]:
        """One form at a time."""
        try:
            async with asyncio.timeout(2 * PATIENCE):
                await self._turn.acquire()
        except TimeoutError:
            raise Busy("other forms are being compiled; try again in a few seconds", retry_after=5) from None
        try:
            yield
        finally:
            self._turn.release()

    def _opened(self) -> LLTokenizer:
        if self._tokenizer is None:
            self._tokenizer = LLTokenizer(self._tokens.source(), n_vocab=self._vocabulary, eos_token=self._stop_ids)
        return self._tokenizer

    def _try(self, form: Constraint) -> Verdict:
        try:
            return self._trial.ask(form.grammar, form.schema, form.param, form.strict, form.options)
        except BadRequest as error:
            return Verdict(wrong=str(error), param=form.param)

    def _compile(self, settled: Constraint) -> LLMatcher:
        matcher = LLMatcher(self._opened(), settled.grammar, log_level=0, limits=LIMITS)
        if matcher.is_error():
            wrong = " ".join(matcher.get_error().split())[:300]
            raise BadRequest(f"{settled.param} can't be enforced: {wrong}", param=settled.param)
        return matcher


def _keep(kept: OrderedDict[str, Any], key: str, size: int) -> None:
    """Let go of what was asked for longest ago, where there is too much."""
    kept.move_to_end(key)
    while len(kept) > 1 and (len(kept) > KEPT or size > SIZE):
        size -= len(kept.popitem(last=False)[0])


class Grammar:
    """A compiled grammar at its beginning. :meth:`begin` gives the state of one choice."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def begin(self) -> "Walk":
        return Walk(self._matcher.deep_copy(), self._vocabulary)


_BITS: NDArray[np.uint8] = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_ADDED: NDArray[np.float32] = np.where(_BITS, np.float32(0), np.float32(-np.inf))
"""What each byte of a mask adds to the logits of its eight tokens."""


class Walk:
    """Where one choice is in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    @property
    def error(self) -> str:
        """What limit was met, if one was."""
        return self._matcher.get_error() if self._matcher.is_error() else ""

    def allowed(self) -> NDArray[np.float32]:
        """What is to be added to each token's logit: nothing where it may come next, else minus infinity. Some 0.1 ms,
        most of it without the GIL; adding it takes a tenth of what setting by a mask would."""
        bits = allocate_token_bitmask(1, self._vocabulary)
        fill_next_token_bitmask(self._matcher, bits)
        added: NDArray[np.float32] = np.take(_ADDED, bits[0].view(np.uint8), axis=0)
        return added.reshape(-1)[: self._vocabulary]

    def take(self, token: int) -> bool:
        """Go on by ``token``; whether the answer is complete with it, and nothing more may come."""
        return self._matcher.consume_token(token) and self._matcher.is_stopped() and not self._matcher.is_error()

    def forced(self) -> list[int]:
        """The tokens that must come next, if there is no choice."""
        if self._matcher.is_error():
            return []
        tokens = self._matcher.compute_ff_tokens()
        # Text that happens to spell a special token is encoded as that, which the grammar doesn't mean.
        return tokens[: self._matcher.validate_tokens(tokens)] if tokens else tokens
