"""One choice of an answer: from sampled tokens to deltas, stop strings, log-probabilities and the reason it ends."""

from collections import deque
from dataclasses import dataclass, field, replace

from tertulia.engine.grammar import Walk
from tertulia.engine.parse import Event, Kind, Parser
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
    """When an answer ends: ``stop_ids`` end it unseen, after ``most`` tokens it is cut. After ``thoughts`` tokens of
    thinking the tokens of ``closing`` are put in, which end it."""

    stop_ids: frozenset[int]
    stops: list[str]
    most: int
    thoughts: int | None = None
    closing: tuple[int, ...] = ()


@dataclass(slots=True)
class Piece:
    """Something that was added to a choice, as it goes out: ``text`` of one ``kind``. A ``call`` begins with its name;
    its ``call`` is its number. ``finish`` is told with the last piece."""

    choice: int
    text: str
    kind: Kind = "text"
    call: int = 0
    logprobs: list[Logprob] = field(default_factory=list[Logprob])
    finish: str | None = None


class Choice:
    """The ``index``-th choice of a request. Feed it each sampled token; it gives the pieces that are to be told.

    ``walk`` is its way through its grammar, ``parser`` takes apart what is written, if it has them; ``shown`` are the
    special tokens that the parser knows. With ``leap`` tokens that have no alternative are taken without a pass each;
    not where their log-probabilities are wanted.
    """

    def __init__(
        self,
        index: int,
        sequence: Sequence,
        limits: Limits,
        tokens: Tokens,
        walk: Walk | None = None,
        parser: Parser | None = None,
        shown: frozenset[int] = frozenset(),
        leap: bool = True,
    ) -> None:
        self.index = index
        self.sequence = sequence
        self.walk = walk
        self.thoughts = 0
        self._leap = leap and sequence.params.top is None
        self._limits = limits
        self._tokens = tokens
        self._parser = parser
        self._detokenizer = Detokenizer(tokens, shown)
        self._stops = Stops(limits.stops) if limits.stops else None
        self._closing: deque[int] | None = None
        self._call = -1
        self._logprobs = sequence.params.top is not None
        self._written = 0
        self._read: list[tuple[int, int, Logprob]] = []
        self._said = 0
        self._pending: list[tuple[int, Logprob]] = []
        self._told = 0

    def feed(self, sampled: Sampled) -> list[Piece]:
        """Take the next token of the sequence, and those that its grammar forces after it."""
        if self._closing:
            sampled = Sampled(self._closing.popleft())
        pieces = self._take(sampled)
        self.sequence.forced = 0
        if self.walk is None or not self._leap or self._closing or (pieces and pieces[-1].finish):
            return _joined(pieces) if len(pieces) > 1 else pieces
        for token in self.walk.forced():
            self.sequence.forced += 1
            pieces += self._take(Sampled(token))
            if pieces and pieces[-1].finish:
                break
        return _joined(pieces)

    def _take(self, sampled: Sampled) -> list[Piece]:
        token = sampled.token
        self.sequence.append(token)
        if token in self._limits.stop_ids:
            return self._end("stop")
        complete = self.walk.take(token) if self.walk else False
        text = self._detokenizer.feed(token)
        if self._logprobs:
            self._read.append((self._written, self._written + len(text), self._logprob(sampled)))
        pieces, met = self._tell(self._parse(text))
        self._written += len(text)
        if met:
            return [*pieces, Piece(self.index, "", logprobs=self._release(), finish="stop")]
        if complete:
            return pieces + self._end("stop")
        if self.sequence.history.length >= self._limits.most:
            return pieces + self._end("length")
        return pieces

    def _parse(self, text: str) -> list[Event]:
        """What ``text`` says; counts the thinking, and closes it when its budget is spent."""
        if self._parser is None:
            return [Event("text", text, self._written)] if text else []
        before = self._parser.thinking
        events = self._parser.feed(text) if text else []
        if before or self._parser.thinking:
            self.thoughts += 1
            if self._parser.thinking and self._closing is None and self._spent:
                self._closing = deque(self._limits.closing)
        return events

    @property
    def _spent(self) -> bool:
        """Whether there has been thinking enough; the last character of it is still made whole."""
        most = self._limits.thoughts
        return most is not None and self.thoughts >= most and self._detokenizer.whole

    def _tell(self, events: list[Event]) -> tuple[list[Piece], bool]:
        """The pieces for ``events``, and whether a stop string was met in their text: then nothing more is told."""
        pieces: list[Piece] = []
        for event in events:
            text, met = event.text, False
            if event.kind == "text":
                self._place(event)
                if self._stops:
                    text, met = self._stops.feed(text)
                self._told += len(text)
            elif event.kind == "call":
                self._call += 1
            if text or event.kind == "call":
                logprobs = self._release() if event.kind == "text" else []
                pieces.append(Piece(self.index, text, event.kind, self._call, logprobs))
            if met:
                return pieces, True
        return pieces, False

    def _end(self, reason: str) -> list[Piece]:
        """The last pieces: what was held goes out, log-probabilities as far as the text."""
        pieces: list[Piece] = []
        if self._parser:
            pieces, met = self._tell(self._parser.finish(cut=reason == "length"))
            if reason == "stop" and self._parser.calls:
                reason = "tool_calls"
            if met:
                return [*pieces, Piece(self.index, "", finish="stop")]
        held = self._stops.held if self._stops else ""
        self._told += len(held)
        rest = [entry for _, entry in self._pending]
        if self._parser is None:
            rest += [entry for _, _, entry in self._read]
        return [*pieces, Piece(self.index, held, logprobs=rest, finish=reason)]

    # ------------------------------------------------------------ log-probabilities

    def _place(self, event: Event) -> None:
        """Find the tokens that a piece of text was written with; those before it stand for something else."""
        end = event.start + len(event.text)
        while self._read and self._read[0][0] < end:
            begin, over, entry = self._read.pop(0)
            if over > event.start or begin >= event.start:
                self._pending.append((self._said + max(begin - event.start, 0), entry))
        self._said += len(event.text)

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


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.kind == piece.kind != "call":
            joined[-1] = replace(piece, text=last.text + piece.text, logprobs=last.logprobs + piece.logprobs)
        else:
            joined.append(piece)
    return joined
