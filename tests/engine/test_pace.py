"""How much a pass may do beside running answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.engine.batch import BLOCK
from tertulia.engine.pace import Pace
from tertulia.engine.scheduler import Pass


def passed(answers: int, read: int = 0) -> Pass:
    return Pass([], [1] * answers + [read] * bool(read), [], None, answers)  # type: ignore[arg-type]


@given(
    seen=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 500), st.floats(1e-5, 5)), max_size=30),
    answering=st.integers(0, 64),
    reading=st.integers(0, 64),
)
def test_a_budget_is_whole_blocks_within_bounds(
    seen: list[tuple[int, int, float]], answering: int, reading: int
) -> None:
    pace = Pace(most=512)
    for answers, read, seconds in seen:
        if answers or read > 1:
            pace.learn(passed(answers, read if read > 1 else 0), seconds)
    budget = pace.budget(answering, reading)
    assert budget % BLOCK == 0
    assert BLOCK <= budget <= 512
    if reading > answering:
        assert budget == 512, "in a burst most gain if all is read at once"


def test_the_budget_keeps_a_mixed_pass_under_four_quiet_ones() -> None:
    """Of a machine that takes 20 ms for a pass and 0.25 ms for each prompt token beside it."""
    pace = Pace(most=512)
    for _ in range(60):
        pace.learn(passed(8), 0.020)
        budget = pace.budget(8, 1)
        pace.learn(passed(8, budget), 0.020 + 0.00025 * budget)
    budget = pace.budget(8, 1)
    assert 0.020 + 0.00025 * budget <= 4.05 * 0.020
    assert budget >= 160


def test_passes_that_something_else_held_up_hardly_change_the_pace() -> None:
    pace = Pace()
    for _ in range(50):
        pace.learn(passed(1), 0.002)
    quiet = pace.spare(1)
    assert quiet == pytest.approx(0.004)
    for _ in range(20):
        pace.learn(passed(1), 0.030)
    assert pace.spare(1) < 1.1 * quiet
    for _ in range(30):
        pace.learn(passed(1), 0.002)
    assert pace.spare(1) == pytest.approx(quiet, rel=0.05)


def test_answers_that_become_slower_for_good_are_allowed_for() -> None:
    pace = Pace()
    for seconds in (0.002, 0.004):
        for _ in range(300):
            pace.learn(passed(1), seconds)
    assert pace.spare(1) > 0.007
