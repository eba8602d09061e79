"""The tokens of one pass, as arrays, and how a pass is put to the CPU so that it repeats itself to the last bit."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
"""Tokens in a KV block: the CPU plugin's own, and the step that chunks of a prompt end on."""
FEW = 64
"""The most rows that are multiplied at a time by a CPU that adds up more of them in another order (see `Model`)."""


@dataclass(slots=True)
class Batch:
    """One pass: the tokens of some sequences end to end. ``tokens`` and ``positions`` int64 [tokens], ``past`` int32
    [sequences], ``begins`` int32 [sequences + 1], ``blocks`` int32 with ``block_begins`` int32 [sequences + 1], and
    ``sampled`` int64: the rows whose logits are wanted, ascending. ``seen`` float32 [places, hidden] stands at
    ``places`` int64, ascending, instead of those tokens' own embedding. ``positions`` are [3, tokens] where pictures
    are laid out in time and space."""

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    past: NDArray[np.int32]
    begins: NDArray[np.int32]
    blocks: NDArray[np.int32]
    block_begins: NDArray[np.int32]
    sampled: NDArray[np.int64]
    longest: int
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    seen: NDArray[np.float32] | None = None


def fill(batch: Batch, count: int) -> Batch:
    """The same pass with ``count`` sequences, the added ones without tokens. With fewer sequences than threads the
    plugin divides one's keys among several threads and adds up in another order than in a crowd."""
    none = np.zeros(count - len(batch.past), np.int32)
    return replace(
        batch,
        past=np.concatenate([batch.past, none]),
        begins=np.concatenate([batch.begins, none + batch.begins[-1]]),
        block_begins=np.concatenate([batch.block_begins, none + batch.block_begins[-1]]),
    )


def accompany(batch: Batch, spare: int) -> Batch:
    """The same pass with no row alone in a multiplication: a token is joined by one in the block ``spare``, a sampled
    row by itself."""
    if len(batch.tokens) == 1:
        batch = replace(
            batch,
            tokens=np.append(batch.tokens, batch.tokens),
            positions=np.repeat(batch.positions, 2, axis=-1),
            past=np.append(batch.past, np.int32(0)),
            begins=np.append(batch.begins, np.int32(2)),
            blocks=np.append(batch.blocks, np.int32(spare)),
            block_begins=np.append(batch.block_begins, batch.block_begins[-1] + np.int32(1)),
        )
    return replace(batch, sampled=np.repeat(batch.sampled, 2)) if len(batch.sampled) == 1 else batch


def pieces(batch: Batch) -> list[Batch]:
    """The pass as passes of at most ``FEW`` rows. Prompts are cut where their chunks may end, so that none of their
    tokens is left alone."""
    found: list[Batch] = []
    parts: list[tuple[int, int, int]] = []
    room = FEW

    def close() -> None:
        nonlocal parts, room
        found.append(_piece(batch, parts))
        parts, room = [], FEW

    for index, past in enumerate(batch.past.tolist()):
        begin, end = batch.begins[index : index + 2].tolist()
        while begin < end:
            take = min(end - begin, room)
            if begin + take < end:
                take -= (past + take) % BLOCK
                take -= BLOCK if begin + take == end - 1 else 0
            if take > 0:
                parts.append((index, begin, begin + take))
                begin, past, room = begin + take, past + take, room - take
            if begin < end or not room:
                close()
    if parts:
        close()
    return found


def _piece(batch: Batch, parts: list[tuple[int, int, int]]) -> Batch:
    """A pass over some rows of another: for each sequence its index, first row and end."""
    first, last = parts[0][1], parts[-1][2]
    past = [int(batch.past[index] + begin - batch.begins[index]) for index, begin, _ in parts]
    ends = [before + end - begin for before, (_, begin, end) in zip(past, parts, strict=True)]
    held = [
        batch.blocks[batch.block_begins[index] :][: -(-end // BLOCK)]
        for end, (index, _, _) in zip(ends, parts, strict=True)
    ]
    sampled = batch.sampled[(first <= batch.sampled) & (batch.sampled < last)]
    inside = (first <= batch.places) & (batch.places < last)
    return Batch(
        tokens=batch.tokens[first:last],
        positions=batch.positions[..., first:last],
        past=np.array(past, np.int32),
        begins=np.array([0, *(end - first for _, _, end in parts)], np.int32),
        blocks=np.concatenate(held),
        block_begins=np.cumsum([0, *map(len, held)], dtype=np.int32),
        sampled=sampled - first,
        longest=max(ends),
        places=batch.places[inside] - first,
        seen=None if batch.seen is None else batch.seen[inside],
    )
