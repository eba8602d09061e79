"""The pool against a plain model of it: lists, searched from end to end."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tertulia.engine.batch import BLOCK
from tertulia.engine.blocks import Blocks, digests


class Pool(RuleBasedStateMachine):
    """Takes, shares, names and gives back blocks in any order, beside a model of free, idle and held ones."""

    @initialize(count=st.integers(1, 7))
    def start(self, count: int) -> None:
        self.blocks = Blocks(count)
        self.free = list(range(count))[::-1]
        self.idle: list[int] = []
        self.held: Counter[int] = Counter()
        self.names: dict[int, bytes] = {}

    @precondition(lambda self: self.free or self.idle)
    @rule()
    def take(self) -> None:
        expected = self.free.pop() if self.free else self.idle.pop(0)
        self.names.pop(expected, None)
        block = self.blocks.take()
        assert block == expected, "free ones last-in first-out, then the idle one that is longest unused"
        assert not self.held[block], "a block that someone holds was handed out"
        self.held[block] = 1

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def find_and_hold(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(sorted(self.names)))
        assert self.blocks.find([self.names[block]]) == [block]
        self.blocks.hold(block)
        if block in self.idle:
            self.idle.remove(block)
        self.held[block] += 1

    @precondition(lambda self: +self.held)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(sorted(+self.held)))
        self.blocks.drop(block)
        self.held[block] -= 1
        if not self.held[block]:
            (self.idle if block in self.names else self.free).append(block)

    @precondition(lambda self: +self.held)
    @rule(data=st.data(), digest=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def name(self, data: st.DataObject, digest: bytes) -> None:
        nameless = sorted(block for block in +self.held if block not in self.names)
        if not nameless:
            return
        block = data.draw(st.sampled_from(nameless))
        self.blocks.name(block, digest)
        if digest not in self.names.values():
            self.names[block] = digest

    @rule(run=st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=4, unique=True))
    def find(self, run: list[bytes]) -> None:
        known = {digest: block for block, digest in self.names.items()}
        expected: list[int] = []
        for digest in run:
            if digest not in known:
                break
            expected.append(known[digest])
        assert self.blocks.find(run) == expected

    @invariant()
    def every_block_is_counted_once(self) -> None:
        if hasattr(self, "blocks"):
            assert self.blocks.available == len(self.free) + len(self.idle)
            assert self.blocks.available + len(+self.held) == self.blocks.count


Pool.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = Pool.TestCase


def test_a_block_given_back_is_the_next_to_be_taken() -> None:
    blocks = Blocks(100)
    for _ in range(50):
        block = blocks.take()
        blocks.drop(block)
        assert block == 0, "the pool is touched further than it was needed at once"


def test_idle_blocks_are_taken_only_when_none_is_free() -> None:
    blocks = Blocks(3)
    kept = blocks.take()
    blocks.name(kept, b"prefix")
    blocks.drop(kept)
    assert [blocks.take(), blocks.take()] == [1, 2]
    assert blocks.find([b"prefix"]) == [kept]
    assert blocks.take() == kept
    assert blocks.find([b"prefix"]) == []


def test_using_an_idle_block_makes_it_the_youngest() -> None:
    blocks = Blocks(2)
    first, second = blocks.take(), blocks.take()
    for block, digest in ((first, b"1"), (second, b"2")):
        blocks.name(block, digest)
        blocks.drop(block)
    blocks.hold(first)
    blocks.drop(first)
    assert blocks.take() == second


tokens = st.lists(st.integers(0, 3), max_size=4 * BLOCK)


@given(tokens=tokens, more=st.integers(0, 3))
def test_digests_name_whole_blocks_and_all_that_came_before(tokens: list[int], more: int) -> None:
    chain = digests(tokens)
    assert len(chain) == len(tokens) // BLOCK
    assert digests([*tokens, more])[: len(chain)] == chain
    assert len(set(chain)) == len(chain)


@given(tokens=st.lists(st.integers(0, 3), min_size=BLOCK, max_size=4 * BLOCK), data=st.data())
def test_one_token_changes_every_digest_from_its_block_on(tokens: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(tokens) // BLOCK * BLOCK - 1))
    other = [*tokens[:place], tokens[place] + 1, *tokens[place + 1 :]]
    same = [one == two for one, two in zip(digests(tokens), digests(other), strict=True)]
    assert same == [block < place // BLOCK for block in range(len(same))]


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1])
def test_less_than_a_block_has_no_digest(length: int) -> None:
    assert digests([5] * length) == []
