"""A candidate that fails is given a rest; one request tries it afterwards, and the others follow."""

import pytest

from tertulia.router.health import MOST, RESERVE, STALE, Budget, Health

KEY = ("together", "m")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(failures=3, pause=10, clock=clock)


def rests(health: Health) -> bool:
    state = health.look().get(KEY)
    return bool(state and state.resting)


def test_it_rests_after_failures_in_a_row(health: Health) -> None:
    health.fail(KEY)
    health.fail(KEY)
    assert not rests(health)
    health.answer(KEY, 0.1, 10, 1)
    health.fail(KEY)
    health.fail(KEY)
    assert not rests(health)
    health.fail(KEY)
    assert rests(health)


def test_after_its_rest_one_tries_it_and_the_others_wait(health: Health, clock: Clock) -> None:
    for _ in range(3):
        health.fail(KEY)
    clock.now = 10
    assert not rests(health)
    health.begin(KEY)
    assert rests(health)
    health.answer(KEY, 0.1, 10, 1)
    assert not rests(health)


def test_a_trial_that_fails_doubles_the_rest_and_one_that_was_given_up_frees_the_place(
    health: Health, clock: Clock
) -> None:
    for _ in range(3):
        health.fail(KEY)
    clock.now = 10
    health.look()
    health.begin(KEY)
    health.leave(KEY)
    assert not rests(health)
    health.begin(KEY)
    health.fail(KEY)
    clock.now = 29
    assert rests(health)
    clock.now = 30
    assert not rests(health)


def test_who_asks_to_be_left_alone_is(health: Health, clock: Clock) -> None:
    health.fail(KEY, retry_after=4)
    assert rests(health)
    clock.now = 4
    assert not rests(health)


def test_speeds_and_latencies_fade(health: Health) -> None:
    health.answer(KEY, 1.0, 100, 1)
    health.answer(KEY, 2.0, 200, 1)
    state = health.look()[KEY]
    assert state.speed == pytest.approx(130) and state.latency == pytest.approx(1.3)
    health.answer(KEY, 1.3, 1, 1)  # one token tells no speed
    assert health.look()[KEY].speed == pytest.approx(130)


def test_speeds_are_forgotten_and_whoever_rested_long_is_too(health: Health, clock: Clock) -> None:
    health.answer(KEY, None, 100, 1)
    for number in range(3 * MOST):
        health.fail(("mine", str(number)), retry_after=1)
    clock.now = STALE + 400
    assert health.look() == {}
    assert len(health._records) <= MOST


def test_once_an_answer_begins_the_others_follow(health: Health, clock: Clock) -> None:
    for _ in range(3):
        health.fail(KEY)
    clock.now = 10
    health.look()
    health.begin(KEY)
    assert rests(health)
    health.begun(KEY)
    assert not rests(health)


def test_an_outage_is_not_multiplied() -> None:
    budget, again = Budget(0.2), 0
    for _ in range(5000):
        budget.earn()
        again += budget.take()
    assert again == pytest.approx(RESERVE + 1000, abs=2)
    assert not Budget(0).take()


def test_the_last_failure_is_told_after_it_is_well_again():
    clock = Clock()
    health = Health(failures=1, pause=15, clock=clock)
    health.fail(KEY, why="timeout")
    clock.now += 5
    (told,) = health.tell()
    assert (told.rest, told.failures, told.error, told.error_ago) == (10, 1, "timeout", 5)
    health.answer(KEY, 0.5, 10, 2)
    (told,) = health.tell()
    assert (told.rest, told.failures, told.error) == (None, 0, "timeout")
    assert (told.latency, told.speed, told.ago) == (0.5, 5, 0)


def test_only_so_many_failures_are_remembered():
    health = Health()
    for number in range(MOST + 10):
        health.fail(("mine", str(number)), why="busy")
    told = [one.model for one in health.tell() if one.error]
    assert (len(told), "9" in told, "10" in told) == (MOST, False, True)
