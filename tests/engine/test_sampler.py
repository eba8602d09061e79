"""The sampler against a slow one: float64, everything sorted, one row at a time."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.engine.sampler import History, Params, Sampled, choice_seed, sample, uniform

VOCABULARY = 300


def changed(logits: np.ndarray, params: Params, history: History) -> np.ndarray:
    """The logits after penalties, biases and bans, one token at a time."""
    values = logits.astype(np.float64)
    for token in range(len(values)):
        count = history.counts.get(token, 0)
        if count:
            values[token] -= params.frequency * count + params.presence
        if count or token in history.prompt:
            values[token] = (
                values[token] / params.repetition if values[token] > 0 else values[token] * params.repetition
            )
    for token, bias in zip(params.bias_ids, params.bias, strict=True):
        values[token] += bias
    if history.length < params.banned_until:
        values[params.banned] = -np.inf
    return values


def distribution(logits: np.ndarray, params: Params, history: History) -> dict[int, float]:
    """What each token's chance is, after all that truncates, by token."""
    values = changed(logits, params, history)
    if params.temperature == 0:
        return {int(np.argmax(values)): 1.0}
    values = values / params.temperature
    chances = np.exp(values - values.max())
    chances /= chances.sum()
    order = sorted(range(len(chances)), key=lambda token: (-chances[token], token))
    if params.top_k:
        order = order[: params.top_k]
    total = sum(chances[token] for token in order)
    kept: list[int] = []
    before = 0.0
    for token in order:
        if before >= params.top_p * total and kept:
            break
        kept.append(token)
        before += chances[token]
    if params.top_p == 1:
        kept = order
    kept = [token for token in kept if chances[token] >= params.min_p * chances[kept[0]]]
    total = sum(chances[token] for token in kept)
    return {token: chances[token] / total for token in kept}


def draw(chances: dict[int, float], chance: float, by_id: bool) -> set[int]:
    """The tokens that ``chance`` may fall on, given that sums are rounded."""
    order = sorted(chances) if by_id else list(chances)
    found: set[int] = set()
    reach = 0.0
    for token in order:
        if reach - 1e-4 <= chance < reach + chances[token] + 1e-4 and chances[token] > 0:
            found.add(token)
        reach += chances[token]
    return found


def some_params(random: np.random.Generator) -> Params:
    """Params with each field set about every other time."""

    def often(value: Any, otherwise: Any) -> Any:
        return value if random.random() < 0.4 else otherwise

    ids = random.choice(VOCABULARY, 5, replace=False)
    return Params(
        temperature=often(0.0, float(random.choice([0.01, 0.3, 0.7, 1.0, 1.3, 2.0]))),
        top_p=often(float(random.choice([0.05, 0.5, 0.9, 0.999])), 1.0),
        top_k=often(int(random.choice([1, 2, 20, 299, 1000])), 0),
        min_p=often(float(random.choice([0.001, 0.05, 0.5, 1.0])), 0.0),
        frequency=often(float(random.uniform(-2, 2)), 0.0),
        presence=often(float(random.uniform(-2, 2)), 0.0),
        repetition=often(float(random.uniform(0.5, 2)), 1.0),
        bias_ids=often(ids[:3], ids[:0]),
        bias=np.zeros(0, np.float32),
        banned=ids[3:],
        banned_until=often(4, 0),
        seed=int(random.integers(1 << 62)),
        top=often(int(random.integers(0, 21)), None),
    )


def some_case(random: np.random.Generator) -> tuple[np.ndarray, Params, History]:
    from dataclasses import replace

    params = some_params(random)
    params = replace(params, bias=random.uniform(-100, 100, len(params.bias_ids)).astype(np.float32))
    logits = (random.normal(size=VOCABULARY) * random.choice([0.5, 3, 10])).astype(np.float32)
    said = random.integers(0, VOCABULARY, random.integers(0, 8)).tolist()
    seen = np.unique(random.integers(0, VOCABULARY, 10)) if params.repetition != 1 else np.zeros(0, np.int64)
    return logits, params, History(seen, dict(Counter(said)), len(said))


@pytest.mark.parametrize("block", range(10))
def test_every_token_is_one_that_the_slow_sampler_may_draw(block: int) -> None:
    random = np.random.default_rng(block)
    cases = [some_case(random) for _ in range(200)]
    found = sample(
        np.array([logits for logits, _, _ in cases]),
        [params for _, params, _ in cases],
        [history for _, _, history in cases],
    )
    kinds = Counter[bool]()
    for (logits, params, history), sampled in zip(cases, found, strict=True):
        chances = distribution(logits, params, history)
        if params.temperature == 0:
            values = changed(logits, params, history)
            assert values[sampled.token] >= values.max() - 1e-5
        else:
            truncated = bool(params.top_k or params.top_p < 1 or params.min_p)
            allowed = draw(chances, uniform(params.seed, history.length), by_id=not truncated)
            assert sampled.token in allowed, params
        check_logprobs(logits, params, sampled)
        kinds[params.temperature == 0] += 1
    assert min(kinds.values()) > 30


def check_logprobs(logits: np.ndarray, params: Params, sampled: Sampled) -> None:
    """They are the model's own, whatever was done to the logits afterwards."""
    raw = logits.astype(np.float64)
    raw = raw - raw.max()
    raw -= np.log(np.exp(raw).sum())
    if params.top is None:
        assert sampled == Sampled(sampled.token)
        return
    assert sampled.logprob == pytest.approx(raw[sampled.token], abs=1e-4)
    likeliest = sorted(range(len(raw)), key=lambda token: -raw[token])[: params.top]
    assert [token for token, _ in sampled.rivals] == likeliest
    assert [logprob for _, logprob in sampled.rivals] == pytest.approx([raw[token] for token in likeliest], abs=1e-4)


def alone(logits: np.ndarray, params: Params, history: History) -> Sampled:
    return sample(logits[None].copy(), [params], [history])[0]


@pytest.mark.parametrize("block", range(4))
def test_a_row_in_a_crowd_is_sampled_as_it_is_alone(block: int) -> None:
    random = np.random.default_rng(100 + block)
    cases = [some_case(random) for _ in range(60)]
    crowd = sample(np.array([case[0] for case in cases]), [case[1] for case in cases], [case[2] for case in cases])
    assert crowd == [alone(*case) for case in cases]


def shares(logits: np.ndarray, params: dict[str, Any], draws: int, history: History | None = None) -> np.ndarray:
    """How often each token comes, over as many seeds."""
    found = sample(
        np.repeat(logits[None], draws, axis=0),
        [Params(**params, seed=seed) for seed in range(draws)],
        [history or History() for _ in range(draws)],
    )
    return np.bincount([sampled.token for sampled in found], minlength=len(logits))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 5},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"temperature": 1.5, "top_k": 8, "top_p": 0.9, "min_p": 0.02},
        {"frequency": 1.0, "presence": 0.5, "repetition": 1.2},
    ],
    ids=str,
)
def test_tokens_come_as_often_as_their_chance_says(params: dict[str, Any]) -> None:
    """Chi-squared over 20,000 seeds; the bound is passed by chance once in a million."""
    random = np.random.default_rng(5)
    logits = (random.normal(size=24) * 1.5).astype(np.float32)
    history = History(np.array([2, 3]), {4: 2, 5: 1}, 3)
    draws = 20_000
    counts = shares(logits, params, draws, history)
    chances = distribution(logits, Params(**params), history)
    assert set(np.flatnonzero(counts)) <= set(chances)
    expected = np.array([chances.get(token, 0.0) for token in range(24)]) * draws
    often = expected >= 5
    chi = float((((counts - expected) ** 2)[often] / expected[often]).sum())
    freedom = int(often.sum()) - 1
    # Wilson and Hilferty's approximation of the chi-squared quantile at 4.75 deviations.
    assert chi < freedom * (1 - 2 / (9 * freedom) + 4.75 * math.sqrt(2 / (9 * freedom))) ** 3


def test_the_places_of_an_answer_are_drawn_independently() -> None:
    draws = [uniform(seed, place) for seed in range(300) for place in range(30)]
    grid = np.array(draws).reshape(300, 30)
    assert len(set(draws)) == len(draws)
    assert abs(grid.mean() - 0.5) < 0.015
    assert np.abs(np.corrcoef(grid.T) - np.eye(30)).max() < 0.3
    assert np.abs(np.corrcoef(grid[:30]) - np.eye(30)).max() < 0.8


@given(seed=st.integers(-(2**63), 2**63 - 1), place=st.integers(0, 10**6))
def test_chance_is_a_number_from_0_up_to_1(seed: int, place: int) -> None:
    assert 0 <= uniform(seed, place) < 1
    assert uniform(seed, place) == uniform(seed, place)


@given(seed=st.integers(-(2**63), 2**63 - 1))
def test_the_choices_of_a_request_have_seeds_of_their_own(seed: int) -> None:
    seeds = [choice_seed(seed, choice) for choice in range(16)]
    assert seeds[0] == seed, "the first choice is what the request gets with n 1"
    assert len({uniform(own, 0) for own in seeds}) == 16
    assert seeds != [choice_seed(seed ^ 1, choice) for choice in range(16)]


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-10, 1e-4])
def test_a_temperature_next_to_nothing_is_greedy(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(size=50).astype(np.float32) * 20
    assert alone(logits, Params(temperature=temperature, seed=3), History()).token == logits.argmax()
    assert alone(logits, Params(temperature=temperature, top_p=0.9, seed=3), History()).token == logits.argmax()


@pytest.mark.parametrize("params", [{"temperature": 0}, {}, {"top_p": 0.99}, {"top_k": 20}, {"min_p": 0.01}], ids=str)
def test_banned_tokens_never_come_before_their_time(params: dict[str, Any]) -> None:
    logits = np.zeros(20, np.float32)
    logits[:3] = 30  # otherwise nothing else would come
    ban = {"banned": np.array([0, 1, 2]), "banned_until": 5}
    before = shares(logits, params | ban, 300, History(length=4))
    after = shares(logits, params | ban, 300, History(length=5))
    assert before[:3].sum() == 0
    assert after[:3].sum() == 300


@pytest.mark.parametrize("value", [100.0, -100.0])
def test_a_bias_of_100_decides(value: float) -> None:
    logits = np.random.default_rng(1).normal(size=50).astype(np.float32) * 5
    best = int(logits.argmax())
    token = 7 if value > 0 else best
    params = {"bias_ids": np.array([token]), "bias": np.array([value], np.float32)}
    counts = shares(logits, params, 200)
    assert counts[token] == (200 if value > 0 else 0)


def test_log_probabilities_do_not_follow_the_temperature() -> None:
    logits = np.random.default_rng(1).normal(size=50).astype(np.float32) * 3
    bias = {"bias_ids": np.array([4]), "bias": np.array([100.0], np.float32)}
    ways = [
        alone(logits, Params(temperature=temperature, top=5, seed=1, **bias, frequency=2, top_k=1), History())
        for temperature in (0, 0.3, 2.0)
    ]
    assert ways[0] == ways[1] == ways[2]
    assert ways[0].token == 4
    assert ways[0].logprob < -1


@pytest.mark.parametrize("top", range(21))
def test_rivals_come_in_order_and_as_many_as_were_asked_for(top: int) -> None:
    logits = np.round(np.random.default_rng(top).normal(size=30), 1).astype(np.float32)  # with many ties
    found = alone(logits, Params(temperature=0, top=top), History())
    ids, logprobs = [token for token, _ in found.rivals], [logprob for _, logprob in found.rivals]
    assert len(set(ids)) == top
    assert ids == sorted(range(30), key=lambda token: (-logits[token], token))[:top]
    assert logprobs == sorted(logprobs, reverse=True)
    if top:
        assert found.rivals[0] == (found.token, found.logprob)


def test_a_small_vocabulary_has_no_more_rivals_than_words() -> None:
    assert len(alone(np.arange(3, dtype=np.float32), Params(top=20), History()).rivals) == 3
