"""Who computes what in the next pass: schedule, (the model runs), advance. Token ids only.

Every running sequence has tokens whose keys and values are not computed yet: one when it is answering (decode), more
when its prompt is being read (prefill). A pass takes one from each that answers, and as many of the others' as the
budget allows, in chunks that end on whole blocks and are never of one token: then a prompt read in pieces, beside
others or from cached blocks gives the same logits to the last bit.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.batch import BLOCK, Batch
from tertulia.engine.blocks import Blocks, digests
from tertulia.engine.sampler import History, Params
from tertulia.engine.view import Rows, View, positions


@dataclass(slots=True, eq=False)
class Sequence:
    """One choice being made: its tokens so far, and where their keys and values are. ``forced`` tokens behind the last
    sampled one had no alternative: they are computed in the same pass. ``views`` are the pictures in the prompt, in the
    order of their places, with their rows. Where they take other positions than text does, ``positions`` [3, prompt]
    are those of the prompt, and what comes behind it is ``shift`` further than its place."""

    prompt: list[int]
    params: Params
    history: History = field(default_factory=History)
    tokens: list[int] = field(default_factory=list[int])
    prefixes: list[bytes] = field(default_factory=list[bytes])
    views: list[View] = field(default_factory=list[View])
    blocks: list[int] = field(default_factory=list[int])
    computed: int = 0
    forced: int = 0
    cached: int = 0
    preemptions: int = 0
    positions: NDArray[np.int64] | None = None
    shift: int = 0

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)
        self.positions = positions(len(self.prompt), self.views)
        if self.positions is not None:
            self.shift = int(self.positions.max()) + 1 - len(self.prompt)
        self.prefixes = self.prefixes or digests(self.prompt, self.views)

    @property
    def shared(self) -> list[bytes]:
        """The digests of the blocks that may be another's. A prompt's last two tokens are always read: for the logits,
        and because one alone is computed otherwise."""
        return self.prefixes[: (len(self.prompt) - 2) // BLOCK]

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.computed

    @property
    def answers(self) -> bool:
        """Whether all but the last sampled token, and what was forced by it, is computed."""
        return self.pending == 1 + self.forced and self.history.length > self.forced

    def blind(self, known: int) -> bool:
        """Whether it can't be read on after its first ``known`` tokens: rows of a picture are missing."""
        return any(view.rows is None and view.places[-1] >= known for view in self.views)

    def append(self, token: int) -> None:
        self.tokens.append(token)
        self.history.length += 1
        self.history.counts[token] = self.history.counts.get(token, 0) + 1


@dataclass(slots=True)
class Pass:
    """A scheduled pass: the sequences in it, how many tokens of each, and those whose next token it will give."""

    sequences: list[Sequence]
    counts: list[int]
    sampled: list[Sequence]
    batch: Batch
    answers: int

    @property
    def prefilled(self) -> int:
        """Prompt tokens in it: those of all but the first ``answers`` sequences."""
        return sum(self.counts[self.answers :])


class Scheduler:
    """``limit`` bounds the sequences that run at once. With ``exact`` a preempted sequence's answer is computed again
    as it was the first time, token by token, and not read like a prompt: slower, and the same to the last bit."""

    def __init__(self, blocks: Blocks, limit: int, exact: bool = False) -> None:
        self.blocks = blocks
        self.limit = limit
        self.exact = exact
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.lost: list[Sequence] = []
        """Those taken out of the queue because pictures have to be looked at: blocks that held them are gone."""
        self._promised: set[bytes] = set()
        self._shortest = False

    @property
    def answering(self) -> int:
        """How many sequences are past their prompt."""
        return sum(1 for sequence in self.running if sequence.answers)

    @property
    def reading(self) -> int:
        """How many run whose prompt is being read."""
        return len(self.running) - self.answering

    def beginning(self, most: int) -> int:
        """How many are about to begin: not past their prompt, of which at most ``most`` tokens are left to read."""
        return sum(1 for sequence in self.waiting if sequence.pending <= most) + sum(
            1 for sequence in self.running if not sequence.answers and sequence.pending <= most
        )

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, done or not wanted any more; its blocks go back."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def schedule(self, budget: int) -> Pass | None:
        """The next pass, with at most ``budget`` prompt tokens (a multiple of a block); None when nothing waits or
        runs. Of those that read, the one with the least left goes first, and every other time the oldest: a short
        prompt doesn't wait for a long one, and a long one gets on beside any number of short ones. Without a budget
        none of them gets on."""
        self._grow()
        while self._admit():
            pass
        chosen: list[Sequence] = []
        counts: list[int] = []
        reading: list[Sequence] = []
        for sequence in self.running:
            if sequence.answers:
                chosen.append(sequence)
                counts.append(sequence.pending)
            elif self.exact and 0 < len(sequence.prompt) <= sequence.computed:
                chosen.append(sequence)
                counts.append(1)
            else:
                reading.append(sequence)
        answers = len(chosen)
        self._shortest = self._shortest != (budget > 0)
        if self._shortest:
            reading.sort(key=lambda sequence: sequence.pending)
        for sequence in reading:
            if budget <= 0:
                break
            count = self._chunk(sequence, budget)
            chosen.append(sequence)
            counts.append(count)
            budget -= -(-count // BLOCK) * BLOCK
        return _pass(chosen, counts, answers) if chosen else None

    def _chunk(self, sequence: Sequence, budget: int) -> int:
        """How many of a sequence's tokens to read within ``budget``. One token alone would be computed as an answer's
        is, by another kernel: if it were left over it is taken along."""
        end = len(sequence.prompt) if self.exact else len(sequence.tokens)
        pending = end - sequence.computed
        count = min(pending, budget)
        return pending if pending - count == 1 else count

    def advance(self, done: Pass) -> None:
        """Note that a pass was computed: what it read is there, and prompt blocks that it filled can be found."""
        for sequence, count in zip(done.sequences, done.counts, strict=True):
            if not sequence.blocks:  # removed while the pass ran
                continue
            before = sequence.computed
            sequence.computed += count
            if before < len(sequence.prompt):
                for place in range(before // BLOCK, min(sequence.computed // BLOCK, len(sequence.prefixes))):
                    self._promised.discard(sequence.prefixes[place])
                    self.blocks.name(sequence.blocks[place], sequence.prefixes[place])

    def _grow(self) -> None:
        """A block more for each answer that has filled its last, at the price of the youngest where none is left."""
        for sequence in list(self.running):
            while sequence in self.running and len(sequence.blocks) * BLOCK < len(sequence.tokens):
                if self.blocks.available:
                    sequence.blocks.append(self.blocks.take())
                else:
                    self._preempt(self.running[-1])

    def _preempt(self, sequence: Sequence) -> None:
        """Take a sequence's blocks; it is read again, prompt and answer so far, as soon as there is room."""
        self.running.remove(sequence)
        self._release(sequence)
        sequence.preemptions += 1
        self.waiting.appendleft(sequence)

    def _release(self, sequence: Sequence) -> None:
        for block in reversed(sequence.blocks):
            self.blocks.drop(block)
        self._promised.difference_update(sequence.prefixes[sequence.computed // BLOCK :])
        sequence.blocks, sequence.computed = [], 0

    def _admit(self) -> bool:
        """Let the first waiting sequence for which there is room run, or leave the queue as lost; False if there is
        none. One whose prefix is being read by another right now is passed over: in a moment it will find it."""
        if len(self.running) >= self.limit:
            return False
        for place, sequence in enumerate(self.waiting):
            shared = sequence.shared
            known = self.blocks.find(shared)
            if len(known) < len(shared) and shared[len(known)] in self._promised:
                continue
            if sequence.blind(len(known) * BLOCK):
                del self.waiting[place]
                self.lost.append(sequence)
                return True
            for block in known:
                self.blocks.hold(block)
            needed = -(-len(sequence.tokens) // BLOCK) - len(known)
            if needed + len(self.running) > self.blocks.available and self.running:
                for block in known:
                    self.blocks.drop(block)
                return False
            del self.waiting[place]
            sequence.blocks = known + [self.blocks.take() for _ in range(needed)]
            sequence.computed = len(known) * BLOCK
            if not sequence.history.length:
                sequence.cached = sequence.computed
            self._promised.update(sequence.prefixes[len(known) :])
            self.running.append(sequence)
            return True
        return False


def _pass(chosen: list[Sequence], counts: list[int], answers: int) -> Pass:
    """One loop over plain lists: this runs before every token."""
    tokens: list[int] = []
    counted: list[int] = []
    spread: list[tuple[int, NDArray[np.int64]]] = []
    past: list[int] = []
    begins = [0]
    blocks: list[int] = []
    block_begins = [0]
    rows: list[int] = []
    sampled: list[Sequence] = []
    places: list[NDArray[np.int64]] = []
    seen: list[Rows] = []
    longest = 0
    for sequence, count in zip(chosen, counts, strict=True):
        before, end = sequence.computed, sequence.computed + count
        tokens += sequence.tokens[before:end]
        counted += range(before + sequence.shift, end + sequence.shift)
        if sequence.positions is not None and before < len(sequence.prompt):
            spread.append((begins[-1], sequence.positions[:, before:end]))
        for view in sequence.views if before < len(sequence.prompt) else ():
            inside = view.between(before, end)
            if inside and view.rows is not None:
                places.append(view.places[inside.start : inside.stop] + (begins[-1] - before))
                seen.append(view.rows[inside.start : inside.stop])
        past.append(before)
        begins.append(len(tokens))
        blocks += sequence.blocks[: -(-end // BLOCK)]
        block_begins.append(len(blocks))
        longest = max(longest, end)
        if end == len(sequence.tokens):
            rows.append(len(tokens) - 1)
            sampled.append(sequence)
    batch = Batch(
        tokens=np.array(tokens, np.int64),
        positions=_spread(counted, spread),
        past=np.array(past, np.int32),
        begins=np.array(begins, np.int32),
        blocks=np.array(blocks, np.int32),
        block_begins=np.array(block_begins, np.int32),
        sampled=np.array(rows, np.int64),
        longest=longest,
    )
    if seen:
        batch.places, batch.seen = np.concatenate(places), np.concatenate(seen)
    return Pass(chosen, counts, sampled, batch, answers)


def _spread(counted: list[int], parts: list[tuple[int, NDArray[np.int64]]]) -> NDArray[np.int64]:
    """The positions of a pass: in three rows where one of its prompts has pictures that are laid out in space; such
    parts stand where they begin."""
    if not parts:
        return np.array(counted, np.int64)
    found = np.tile(np.array(counted, np.int64), (3, 1))
    for begin, part in parts:
        found[:, begin : begin + part.shape[1]] = part
    return found
