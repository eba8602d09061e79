"""Grammars that hold an answer to its form, by llguidance: which tokens may come next, and which must.

llguidance refuses what it can't enforce, and has limits of its own on time and memory; a compiled grammar is kept, and
each choice begins with a copy of it.
"""

import asyncio
import json
import re
from collections import OrderedDict

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from tertulia.engine.constraint import Constraint, find_keyword
from tertulia.engine.tokens import Tokens
from tertulia.errors import BadRequest

KEPT = 64
"""Compiled grammars that are kept."""
PATIENCE = 5.0
"""Seconds that a grammar may take to compile."""


class Grammars:
    """The grammars of one model: its vocabulary in llguidance's form, and those compiled lately."""

    def __init__(self, tokens: Tokens, vocabulary: int, stop_ids: frozenset[int]) -> None:
        self._tokens = tokens
        self._vocabulary = vocabulary
        self._stop_ids = sorted(stop_ids)
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[str, tuple[LLMatcher, list[str]]] = OrderedDict()

    async def compile(self, constraint: Constraint) -> tuple["Grammar", list[str]]:
        """The grammar of ``constraint``, and warnings of what of it isn't enforced. Compiles in a thread.

        Raises BadRequest that names the keyword and its path, or says what limit was met.
        """
        kept = self._compiled.get(constraint.grammar)
        if kept is None:
            try:
                async with asyncio.timeout(PATIENCE):
                    kept = await asyncio.to_thread(self._compile, constraint)
            except TimeoutError:
                raise BadRequest(
                    f"{constraint.param} takes longer than {PATIENCE:g} s to compile: make it simpler",
                    param=constraint.param,
                ) from None
            self._compiled[constraint.grammar] = kept
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(constraint.grammar)
        matcher, warnings = kept
        return Grammar(matcher, self._vocabulary), warnings

    def special(self) -> dict[str, int]:
        """The tokens that a grammar has to name, by how they are spelt: text never stands for them."""
        tokenizer = self._opened()
        added = ((self._tokens.word(token), token) for token in self._tokens.added)
        return {word: token for word, token in added if word and tokenizer.is_special_token(token)}

    def _opened(self) -> LLTokenizer:
        if self._tokenizer is None:
            self._tokenizer = LLTokenizer(self._tokens.source(), n_vocab=self._vocabulary, eos_token=self._stop_ids)
        return self._tokenizer

    def _compile(self, constraint: Constraint) -> tuple[LLMatcher, list[str]]:
        tokenizer = self._opened()
        wrong, told = LLMatcher.validate_grammar_with_warnings(constraint.grammar, tokenizer)
        if wrong:
            raise _refusal(constraint, told[0])
        matcher = LLMatcher(tokenizer, constraint.grammar, log_level=0)
        if matcher.is_error():
            raise _refusal(constraint, matcher.get_error())
        places = [_place(constraint, message) for message in told]
        return matcher, [f"{param} is not enforced" for _, param in places]


class Grammar:
    """A compiled grammar at its beginning. :meth:`begin` gives the state of one choice."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def begin(self) -> "Walk":
        return Walk(self._matcher.deep_copy(), self._vocabulary)


class Walk:
    """Where one choice is in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    @property
    def error(self) -> str:
        """What limit was met, if one was."""
        return self._matcher.get_error() if self._matcher.is_error() else ""

    def allowed(self) -> NDArray[np.bool_]:
        """For each token of the vocabulary, whether it may come next. Some 0.1 ms, without the GIL."""
        bits = allocate_token_bitmask(1, self._vocabulary)
        fill_next_token_bitmask(self._matcher, bits)
        return np.unpackbits(bits[0].view(np.uint8), count=self._vocabulary, bitorder="little").view(np.bool_)

    def take(self, token: int) -> bool:
        """Go on by ``token``; whether the answer is complete with it, and nothing more may come."""
        return self._matcher.consume_token(token) and self._matcher.is_stopped()

    def forced(self) -> list[int]:
        """The tokens that must come next, if there is no choice."""
        if self._matcher.is_error():
            return []
        tokens = self._matcher.compute_ff_tokens()
        # Text that happens to spell a special token is encoded as that, which the grammar doesn't mean.
        return tokens[: self._matcher.validate_tokens(tokens)] if tokens else tokens


def _place(constraint: Constraint, message: str) -> tuple[str, str]:
    """The keyword that llguidance speaks of, and where it stands; the constraint itself where it names none."""
    named = re.search(r"Unimplemented keys: (\[.*\])", message)
    keywords: list[str] = json.loads(named[1]) if named else []
    for keyword in keywords:
        if found := find_keyword(constraint.schema, keyword, constraint.param):
            return keyword, found
    return "", constraint.param


def _refusal(constraint: Constraint, message: str) -> BadRequest:
    keyword, param = _place(constraint, message)
    if keyword:
        help = "leave it out, or say strict: false to have the rest enforced"
        return BadRequest(f"{keyword!r} can't be enforced ({param}): {help}", param=param)
    first = " ".join(message.split())[:300]
    return BadRequest(f"{param} can't be enforced: {first}", param=param)
