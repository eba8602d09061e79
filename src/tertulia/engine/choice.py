"""One choice of an answer: from sampled tokens to deltas, stop strings, log-probabilities and the reason it ends."""

from dataclasses import dataclass, field

from tertulia.engine.grammar import Walk
from tertulia.engine.sampler import Sampled
from tertulia.engine.scheduler import Sequence
from tertulia.engine.tokens import Detokenizer, Tokens
from tertulia.types import Logprob, TopLogprob


class Stops:
    """Watches text for stop strings. What could be the beginning of one is held back until it is known."""

    def __init__(self, stops: list[str]) -> None:
        self._stops = stops
        self.held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """The text that is safe to tell, and whether a stop string was met: then nothing more is."""
        text = self.held + text
        # The one that is complete first, and of those the longest: so it does not matter how the text comes in pieces.
        met = [(place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0]
        if met:
            self.held = ""
            return text[: min(met)[1]], True
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep], False


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that ``stop`` begins with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """When an answer ends: ``stop_ids`` end it unseen, after ``most`` tokens it is cut."""

    stop_ids: frozenset[int]
    stops: list[str]
    most: int


@dataclass(slots=True)
class Piece:
    """What one token added to a choice, as it goes out. ``finish`` is told with the last piece."""

    choice: int
    text: str
    logprobs: list[Logprob] = field(default_factory=list[Logprob])
    finish: str | None = None


def _join(first: Piece | None, second: Piece | None) -> Piece | None:
    if first is None or second is None:
        return first or second
    return Piece(first.choice, first.text + second.text, first.logprobs + second.logprobs, second.finish)


class Choice:
    """The ``index``-th choice of a request. Feed it each sampled token; it gives a piece when there is one to tell.

    ``walk`` is its way through its grammar, if it has one. With ``leap`` tokens that have no alternative are taken
    without a pass each; not where their log-probabilities are wanted.
    """

    def __init__(
        self,
        index: int,
        sequence: Sequence,
        limits: Limits,
        tokens: Tokens,
        walk: Walk | None = None,
        leap: bool = True,
    ) -> None:
        self.index = index
        self.sequence = sequence
        self.walk = walk
        self._leap = leap and sequence.params.top is None
        self._limits = limits
        self._tokens = tokens
        self._detokenizer = Detokenizer(tokens)
        self._stops = Stops(limits.stops) if limits.stops else None
        self._logprobs = sequence.params.top is not None
        self._pending: list[tuple[int, Logprob]] = []
        self._decoded = 0
        self._told = 0

    def feed(self, sampled: Sampled) -> Piece | None:
        """Take the next token of the sequence, and those that its grammar forces after it. None: nothing to tell
        yet."""
        piece = self._take(sampled)
        self.sequence.forced = 0
        if self.walk is None or not self._leap or (piece and piece.finish):
            return piece
        for token in self.walk.forced():
            self.sequence.forced += 1
            piece = _join(piece, self._take(Sampled(token)))
            if piece and piece.finish:
                break
        return piece

    def _take(self, sampled: Sampled) -> Piece | None:
        token = sampled.token
        self.sequence.append(token)
        if token in self._limits.stop_ids:
            return self._end("", "stop", met=False)
        complete = self.walk.take(token) if self.walk else False
        text = self._detokenizer.feed(token)
        if self._logprobs:
            self._pending.append((self._decoded, self._logprob(sampled)))
            self._decoded += len(text)
        met = False
        if self._stops and text:
            text, met = self._stops.feed(text)
        if met or complete:
            return self._end(text, "stop", met=met)
        if self.sequence.history.length >= self._limits.most:
            return self._end(text, "length", met=False)
        if not text:
            return None
        self._told += len(text)
        return Piece(self.index, text, self._release()) if self._logprobs else Piece(self.index, text)

    def _end(self, text: str, reason: str, *, met: bool) -> Piece:
        """The last piece: held text goes out unless a stop string was met; log-probabilities go as far as the text."""
        if self._stops and not met:
            text += self._stops.held
        self._told += len(text)
        logprobs = self._release() if met else [entry for _, entry in self._pending]
        return Piece(self.index, text, logprobs, reason)

    def _release(self) -> list[Logprob]:
        """The log-probabilities of tokens whose text has gone out, at least in part."""
        count = sum(1 for start, _ in self._pending if start < self._told)
        ready, self._pending = self._pending[:count], self._pending[count:]
        return [entry for _, entry in ready]

    def _logprob(self, sampled: Sampled) -> Logprob:
        rivals = [self._top(token, logprob) for token, logprob in sampled.rivals]
        own = self._top(sampled.token, sampled.logprob)
        return Logprob(token=own.token, logprob=own.logprob, bytes=own.bytes, top_logprobs=rivals)

    def _top(self, token: int, logprob: float) -> TopLogprob:
        return TopLogprob(self._tokens.word(token), max(logprob, -9999.0), list(self._tokens.piece(token)))
