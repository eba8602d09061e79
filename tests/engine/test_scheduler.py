"""The scheduler over a model that can be checked: its next token is a function of the whole context, which it reads
back from the pool, block by block, as it was written there."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tertulia.engine.batch import BLOCK, Batch
from tertulia.engine.blocks import Blocks
from tertulia.engine.sampler import Params
from tertulia.engine.scheduler import Pass, Scheduler, Sequence


def following(context: list[int]) -> int:
    return hash(tuple(context)) % 1000


def answer(prompt: list[int], length: int) -> list[int]:
    """What the model says when it is asked alone."""
    context = list(prompt)
    for _ in range(length):
        context.append(following(context))
    return context[len(prompt) :]


@dataclass
class Simulation:
    """A scheduler, a pool that remembers tokens, and what must hold in every pass."""

    count: int
    limit: int = 8
    exact: bool = False
    passes: list[Pass] = field(default_factory=list)
    wanted: dict[Sequence, int] = field(default_factory=dict)
    done: dict[Sequence, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.blocks = Blocks(self.count)
        self.pool = [[-1] * BLOCK for _ in range(self.count)]
        self.scheduler = Scheduler(self.blocks, self.limit, self.exact)

    def add(self, prompt: list[int], length: int) -> Sequence:
        sequence = Sequence(prompt, Params())
        self.wanted[sequence] = length
        self.scheduler.add(sequence)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        self.scheduler.remove(sequence)
        self.wanted.pop(sequence, None)

    def schedule(self, budget: int) -> Pass | None:
        work = self.scheduler.schedule(budget)
        if work is not None:
            self.check(work, budget)
            self.passes.append(work)
        return work

    def check(self, work: Pass, budget: int) -> None:
        assert len(self.scheduler.running) <= self.limit
        assert len(set(map(id, work.sequences))) == len(work.sequences)
        read = 0
        for sequence, count in zip(work.sequences, work.counts, strict=True):
            assert count > 0
            end = sequence.computed + count
            answering = sequence.computed >= len(sequence.prompt) and count == 1
            if answering:
                continue
            read += count
            assert count > 1 or len(sequence.prompt) == 1, "one token alone is computed by another kernel"
            whole = len(sequence.prompt) if self.exact else len(sequence.tokens)
            assert end % BLOCK == 0 or end == whole, "a chunk ends within a block"
            assert sequence.computed % BLOCK == 0
        assert read <= budget + 1, "one token more may be taken along, if it is the last"

    def run(self, work: Pass) -> list[int]:
        """The pass itself: write the tokens, read the context back, give the sampled rows' next tokens."""
        batch: Batch = work.batch
        rows: dict[int, int] = {}
        for index, past in enumerate(batch.past):
            begin, end = int(batch.begins[index]), int(batch.begins[index + 1])
            table = batch.blocks[batch.block_begins[index] : batch.block_begins[index + 1]]
            assert list(batch.positions[begin:end]) == list(range(past, past + end - begin))
            assert len(table) == -(-(past + end - begin) // BLOCK)
            for token, place in zip(batch.tokens[begin:end], batch.positions[begin:end], strict=True):
                self.pool[table[place // BLOCK]][place % BLOCK] = int(token)
            context = [slot for block in table for slot in self.pool[block]][: past + end - begin]
            rows[end - 1] = following(context)
            assert context == work.sequences[index].tokens[: len(context)], "the blocks hold something else"
        assert batch.longest == max(batch.past + (batch.begins[1:] - batch.begins[:-1]))
        return [rows[int(row)] for row in batch.sampled]

    def finish(self, work: Pass, tokens: list[int]) -> None:
        self.scheduler.advance(work)
        for sequence, token in zip(work.sampled, tokens, strict=True):
            if sequence not in self.wanted:
                continue
            sequence.append(token)
            if sequence.history.length == self.wanted[sequence]:
                self.done[sequence] = sequence.tokens[len(sequence.prompt) :]
                self.remove(sequence)

    def step(self, budget: int = 512) -> bool:
        work = self.schedule(budget)
        if work is None:
            return False
        self.finish(work, self.run(work))
        return True

    def finish_all(self, budget: Callable[[], int] = lambda: 512, most: int = 20_000) -> None:
        for _ in range(most):
            if not self.step(budget()):
                break
        else:
            raise AssertionError("it never ends")
        assert not self.wanted, "sequences were lost"
        assert not self.scheduler.waiting
        assert not self.scheduler.running
        assert self.blocks.available == self.blocks.count, "blocks were lost"


chats = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),  # which of a few beginnings the prompt shares
        st.integers(1, 150),
        st.integers(1, 80),
        st.integers(0, 12),  # the pass before which it comes
    ),
    min_size=1,
    max_size=9,
)


def prompt(beginning: int, length: int) -> list[int]:
    return [(beginning * 7 + place) % 50 for place in range(length)]


@given(chats=chats, blocks=st.integers(8, 40), limit=st.integers(1, 8), exact=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=120)
def test_every_sequence_ends_with_its_own_answer(
    chats: list[tuple[int, int, int, int]], blocks: int, limit: int, exact: bool, seed: int
) -> None:
    chance = random.Random(seed)
    simulation = Simulation(blocks, limit, exact)
    expected: dict[Sequence, list[int]] = {}
    late = sorted(chats, key=lambda chat: chat[3])
    number = 0
    while late:
        while late and late[0][3] <= number:
            beginning, length, more, _ = late.pop(0)
            sequence = simulation.add(prompt(beginning, length), more)
            expected[sequence] = answer(sequence.prompt, more)
        simulation.step(chance.choice([32, 64, 512]))
        number += 1
    simulation.finish_all(lambda: chance.choice([32, 96, 512]))
    assert simulation.done == expected


@given(chats=chats, blocks=st.integers(8, 40), exact=st.booleans(), seed=st.integers(0, 999))
@settings(max_examples=120)
def test_sequences_may_leave_at_any_moment(
    chats: list[tuple[int, int, int, int]], blocks: int, exact: bool, seed: int
) -> None:
    """Before a pass, and between schedule and advance, when it is being computed."""
    chance = random.Random(seed)
    simulation = Simulation(blocks, 6, exact)
    expected = {}
    for beginning, length, more, _ in chats:
        sequence = simulation.add(prompt(beginning, length), more)
        expected[sequence] = answer(sequence.prompt, more)
    for _ in range(2000):
        if simulation.wanted and chance.random() < 0.15:
            simulation.remove(chance.choice(list(simulation.wanted)))
        work = simulation.schedule(chance.choice([32, 64, 512]))
        if work is None:
            break
        tokens = simulation.run(work)
        if simulation.wanted and chance.random() < 0.15:
            simulation.remove(chance.choice(list(simulation.wanted)))
        simulation.finish(work, tokens)
    simulation.finish_all()
    assert {sequence: expected[sequence] for sequence in simulation.done} == simulation.done
    fresh = simulation.add(prompt(0, 150), 20)
    simulation.finish_all()
    assert simulation.done[fresh] == answer(prompt(0, 150), 20)


@pytest.mark.parametrize("exact", [False, True])
def test_a_tiny_pool_preempts_the_youngest_and_all_still_end(exact: bool) -> None:
    simulation = Simulation(8, exact=exact)
    prompts = [[index] * 20 for index in range(6)]
    sequences = [simulation.add(prompt, 100) for prompt in prompts]
    simulation.finish_all()
    assert [simulation.done[sequence] for sequence in sequences] == [answer(prompt, 100) for prompt in prompts]
    preempted = [sequence.preemptions for sequence in sequences]
    assert preempted[0] == 0
    assert sum(preempted) > 0
    assert list(simulation.done) == sequences, "the oldest ends first"


def test_exact_computes_a_preempted_answer_token_by_token() -> None:
    simulation = Simulation(8, exact=True)
    sequences = [simulation.add([index] * 65, 70) for index in range(3)]
    simulation.finish_all()
    assert sum(sequence.preemptions for sequence in sequences) > 0
    for work in simulation.passes:
        for index, sequence in enumerate(work.sequences):
            past, count = int(work.batch.past[index]), work.counts[index]
            assert count == 1 if past >= len(sequence.prompt) else past + count <= len(sequence.prompt)


def test_siblings_wait_for_the_one_that_reads_and_share_its_blocks() -> None:
    simulation = Simulation(200, limit=16)
    same = list(range(300))
    sequences = [simulation.add(same, 5) for _ in range(16)]
    simulation.step(512)
    assert simulation.passes[0].sequences == sequences[:1], "the others would have read the same"
    simulation.step(512)
    assert len(simulation.passes[1].sequences) == 16
    assert simulation.passes[1].prefilled <= 15 * (BLOCK + len(same) % BLOCK)
    assert [sequence.cached for sequence in sequences] == [0] + [288] * 15
    held = simulation.blocks.count - simulation.blocks.available
    assert held == 9 + 16
    simulation.finish_all()


def test_siblings_of_a_prompt_of_whole_blocks_start_together() -> None:
    simulation = Simulation(200, limit=16)
    for _ in range(16):
        simulation.add(list(range(8 * BLOCK)), 5)
    simulation.step(512)
    simulation.step(512)
    assert len(simulation.passes[1].sequences) == 16


def test_siblings_do_not_wait_for_one_that_has_left() -> None:
    simulation = Simulation(200)
    reader, other = simulation.add(list(range(300)), 5), simulation.add(list(range(300)), 5)
    work = simulation.schedule(64)
    assert work is not None
    tokens = simulation.run(work)
    simulation.remove(reader)
    simulation.finish(work, tokens)
    simulation.finish_all()
    assert simulation.done == {other: answer(other.prompt, 5)}


def test_one_whose_prefix_is_being_read_does_not_hold_up_those_behind_it() -> None:
    simulation = Simulation(200)
    simulation.add(list(range(640)), 2)
    simulation.add(list(range(640)), 2)
    behind = simulation.add([7] * 40, 2)
    simulation.step(64)
    simulation.step(512)
    simulation.step(512)
    assert behind in simulation.passes[1].sequences + simulation.passes[2].sequences


def test_a_later_turn_finds_the_blocks_of_the_earlier() -> None:
    simulation = Simulation(50)
    first = simulation.add(list(range(100)), 10)
    simulation.finish_all()
    second = simulation.add([*first.tokens, 1, 2, 3], 10)
    simulation.finish_all()
    assert (first.cached, second.cached) == (0, 96)
    assert simulation.done[second] == answer(second.prompt, 10)


@pytest.mark.parametrize("length", [65, 64, 66])
def test_a_repeated_prompt_leaves_two_tokens_or_more_to_read(length: int) -> None:
    simulation = Simulation(50)
    for _ in range(2):
        sequence = simulation.add(list(range(length)), 3)
        simulation.finish_all()
    assert sequence.cached == (length - 2) // BLOCK * BLOCK


def test_every_answer_gets_a_token_in_every_pass_while_a_long_prompt_is_read() -> None:
    simulation = Simulation(400)
    talking = [simulation.add([index] * 10, 60) for index in range(4)]
    simulation.step()
    long = simulation.add(list(range(2000)), 3)
    before = len(simulation.passes)
    while not long.history.length:
        simulation.step(64)
    for work in simulation.passes[before:]:
        assert [sequence for sequence in work.sequences if sequence in talking] == talking
    assert len(simulation.passes) - before == -(-2000 // 64)
    simulation.finish_all()


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    simulation = Simulation(400)
    simulation.add([1] * 10, 500)
    simulation.step()
    simulation.add(list(range(4000)), 3)
    simulation.step(32)
    short = simulation.add([2] * 60, 3)
    before = len(simulation.passes)
    while not short.history.length:
        simulation.step(32)
    assert len(simulation.passes) - before <= 4
    simulation.finish_all()


def test_a_long_prompt_gets_on_beside_any_number_of_short_ones() -> None:
    simulation = Simulation(400, limit=100)
    simulation.add([1] * 10, 500)
    simulation.step()
    long = simulation.add(list(range(640)), 3)
    passes = 0
    while not long.history.length:
        simulation.add([2 + passes] * 33, 1)
        simulation.step(32)
        passes += 1
    assert passes <= 2 * 640 / 32 + 2
    simulation.finish_all()


def test_who_comes_first_is_admitted_first() -> None:
    simulation = Simulation(30, limit=2)
    sequences = [simulation.add([index] * 30, 4) for index in range(7)]
    simulation.finish_all()
    assert list(simulation.done) == sequences


def test_a_large_one_that_finds_no_room_is_not_overtaken_for_ever() -> None:
    """Small ones behind it wait, although there would be room for them."""
    simulation = Simulation(10, limit=4)
    simulation.add([1] * 100, 60)
    large = simulation.add([2] * 200, 5)
    for index in range(3, 9):
        simulation.add([index] * 20, 30)
    simulation.finish_all()
    assert list(simulation.done)[1] is large


def test_nothing_to_do_is_no_pass() -> None:
    simulation = Simulation(4)
    assert simulation.scheduler.schedule(512) is None
    sequence = simulation.add([1], 1)
    simulation.remove(sequence)
    assert simulation.scheduler.schedule(512) is None
    simulation.remove(sequence)  # twice does no harm


def test_without_a_budget_answers_go_on_and_prompts_keep_their_turns() -> None:
    turns: list[list[int]] = []
    for budgets in ([64], [64, 0]):
        simulation = Simulation(64)
        simulation.add([9] * 10, 60)
        simulation.step()
        old, short = simulation.add([1] * 700, 2), simulation.add([2] * 300, 2)
        taken: list[int] = []
        for step in range(8 * len(budgets)):
            simulation.step(budget := budgets[step % len(budgets)])
            work = simulation.passes[-1]
            if budget:
                taken += [index for index, one in enumerate((old, short)) if one in work.sequences]
            else:
                assert work.answers == len(work.sequences) == 1
        turns.append(taken)
    assert turns[0] == turns[1]
    assert set(turns[0]) == {0, 1}
