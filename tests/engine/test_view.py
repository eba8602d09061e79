"""Where the tokens of a prompt are, if it has pictures in space; and what the passes make of it."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.engine.batch import BLOCK, pieces
from tertulia.engine.blocks import Blocks, digests
from tertulia.engine.qwen import read
from tertulia.engine.sampler import Params
from tertulia.engine.scheduler import Scheduler, Sequence
from tertulia.engine.view import View, positions

EYE = read({"vision_config": {}}, {})


def view(begin: int, rows: int, columns: int, name: bytes = b"a") -> View:
    places = np.arange(begin, begin + rows * columns)
    return View(name, places, rows=np.zeros((rows * columns, 4), np.float32), spots=EYE.spots(rows, columns))


def test_text_alone_is_counted() -> None:
    assert positions(5, []) is None
    assert positions(5, [View(b"a", np.arange(1, 3))]) is None


def test_a_picture_takes_the_room_of_its_longer_side() -> None:
    found = positions(10, [view(2, 2, 3)])
    assert found is not None
    assert found.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]


def test_pictures_stand_behind_one_another() -> None:
    found = positions(9, [view(0, 2, 1), view(2, 1, 2), view(6, 1, 1)])
    assert found is not None
    assert found.tolist() == [
        [0, 0, 2, 2, 4, 5, 6, 7, 8],
        [0, 1, 2, 2, 4, 5, 6, 7, 8],
        [0, 0, 2, 3, 4, 5, 6, 7, 8],
    ]


def test_a_prompt_may_end_with_a_picture() -> None:
    found = positions(5, [view(1, 2, 2)])
    assert found is not None
    assert found.max(1).tolist() == [1, 2, 2]
    assert Sequence([7] * 5, Params(), views=[view(1, 2, 2)]).shift == 3 - 5


def drawn(parts: list[tuple[int, int, int]]) -> tuple[int, list[View]]:
    """A prompt's length and pictures: for each so much text, then rows and columns."""
    views: list[View] = []
    length = 0
    for text, rows, columns in parts:
        views.append(view(length + text, rows, columns, bytes([len(views)])))
        length += text + rows * columns
    return length + 1, views


PARTS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9)), max_size=4)


def passes(sequences: list[Sequence], budgets: list[int], blocks: Blocks) -> Iterator[tuple[Sequence, np.ndarray]]:
    """What of each sequence was in each pass: its positions [3, tokens]. Each answers with six tokens; the youngest
    loses its blocks once."""
    scheduler = Scheduler(blocks, 8)
    for sequence in sequences:
        scheduler.add(sequence)
    turn = 0
    while scheduler.waiting or scheduler.running:
        work = scheduler.schedule(budgets[turn % len(budgets)] * BLOCK)
        turn += 1
        assert work
        laid = work.batch.positions
        for index, sequence in enumerate(work.sequences):
            begin, end = work.batch.begins[index : index + 2]
            yield sequence, np.broadcast_to(laid[..., begin:end], (3, end - begin))
        scheduler.advance(work)
        for sequence in work.sampled:
            sequence.append(3)
            if sequence.history.length == 4 and not sequence.preemptions and sequence is scheduler.running[-1]:
                scheduler._preempt(sequence)
            elif sequence.history.length >= 6:
                scheduler.remove(sequence)


@given(st.lists(PARTS, min_size=1, max_size=3), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_however_a_prompt_is_read_each_token_is_where_it_is(
    prompts: list[list[tuple[int, int, int]]], budgets: list[int]
) -> None:
    sequences = [
        Sequence([1] * length, Params(), views=views, prefixes=[])
        for length, views in (drawn(parts) for parts in prompts)
    ]
    told: dict[Sequence, dict[int, list[int]]] = {sequence: {} for sequence in sequences}
    for sequence, part in passes(sequences, budgets, Blocks(100)):
        for place, column in enumerate(part.T.tolist(), start=sequence.computed):
            assert told[sequence].setdefault(place, column) == column
    for sequence in sequences:
        length = len(sequence.prompt) + 5
        wanted = positions(length, sequence.views)
        wanted = np.tile(np.arange(length), (3, 1)) if wanted is None else wanted
        first = min(told[sequence])
        assert first <= sequence.cached, "but for what another has read already"
        assert [told[sequence][place] for place in range(first, length)] == wanted.T[first:].tolist()


def test_a_pass_in_pieces_keeps_its_positions() -> None:
    length, views = drawn([(30, 9, 9), (5, 4, 8), (1, 2, 2)])
    blocks = Blocks(20)
    scheduler = Scheduler(blocks, 8)
    scheduler.add(Sequence([1] * length, Params(), views=views))
    work = scheduler.schedule(512)
    assert work
    parts = pieces(work.batch)
    assert len(parts) > 1
    assert np.array_equal(np.concatenate([part.positions for part in parts], axis=1), work.batch.positions)


@pytest.mark.parametrize("other", [(3, 4), (12, 1), (1, 12), (4, 3)])
def test_a_block_of_the_same_picture_laid_out_otherwise_is_another(other: tuple[int, int]) -> None:
    prompt = [1] * 64
    assert digests(prompt, [view(3, 2, 6)]) != digests(prompt, [view(3, *other)])
    assert digests(prompt, [view(3, 2, 6)]) == digests(prompt, [view(3, 2, 6)])
