"""From logits to the next token of each sequence.

The order is the field's usual one (transformers' and vLLM's): penalties and biases, temperature, top_k, top_p, min_p.
What chance decides depends on the seed, the choice and the place in the answer alone: not on the other rows of the
batch, and not on whether the sequence was computed twice.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
_NO_IDS: NDArray[np.int64] = np.zeros(0, np.int64)
_NO_VALUES: NDArray[np.float32] = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Params:
    """How a sequence is sampled. ``top`` is how many rivals to report, None for no log-probabilities at all; ``banned``
    are the ids that may not come before ``banned_until`` tokens have."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    frequency: float = 0.0
    presence: float = 0.0
    repetition: float = 1.0
    bias_ids: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)
    bias: NDArray[np.float32] = field(default_factory=lambda: _NO_VALUES)
    banned: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)
    banned_until: float = 0
    seed: int = 0
    top: int | None = None

    changes_logits: bool = field(init=False)
    """Whether anything is done to the logits before the choice."""
    plain: bool = field(init=False)
    """Whether the likeliest token is all that is wanted."""

    def __post_init__(self) -> None:
        penalised = self.frequency or self.presence or self.repetition != 1
        changes = bool(penalised or len(self.bias_ids) or self.banned_until > 0)
        object.__setattr__(self, "changes_logits", changes)
        object.__setattr__(self, "plain", not (changes or self.temperature) and self.top is None)


@dataclass(slots=True)
class History:
    """What a sequence has said: ``counts`` of the answer's tokens, and ``prompt`` ids where they weigh (repetition)."""

    prompt: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)
    counts: dict[int, int] = field(default_factory=dict[int, int])
    length: int = 0


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token, its log-probability under the model's own distribution (in nats), and the likeliest rivals in order."""

    token: int
    logprob: float = 0.0
    rivals: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])


def sample(
    logits: NDArray[np.float32],
    params: Items[Params],
    histories: Items[History],
    allowed: Mapping[int, Row] | None = None,
) -> list[Sampled]:
    """The next token for each row of ``logits`` [rows, vocabulary], which are overwritten. ``allowed`` holds, for
    some rows, what is added where their grammar lets a token come (nothing) and where not (minus infinity)."""
    allowed = allowed or {}
    if not allowed and all(param.plain for param in params):
        return [Sampled(token) for token in logits.argmax(1).tolist()]
    told = [row for row, param in enumerate(params) if param.top is not None]
    own = {row: logits[row].copy() if params[row].changes_logits or row in allowed else logits[row] for row in told}
    for row, param in enumerate(params):
        if param.changes_logits:
            _change(logits[row], param, histories[row])
    for row, mask in allowed.items():
        logits[row] += mask
    tokens: list[int] = logits.argmax(1).tolist()
    for row, param in enumerate(params):
        if param.temperature > 0:
            chance = uniform(param.seed, histories[row].length)
            tokens[row] = _draw(logits[row], param, chance)
    if not told:
        return [Sampled(token) for token in tokens]
    return [
        Sampled(token, *_logprobs(own[row], token, params[row].top or 0)) if row in own else Sampled(token)
        for row, token in enumerate(tokens)
    ]


def uniform(seed: int, place: int) -> float:
    """A number in [0, 1) that (seed, place) always gives: splitmix64 (Steele et al. 2014) of the two."""
    mixed = _mix(_mix(seed & _MASK) + place * 0x9E3779B97F4A7C15)
    return (mixed >> 11) * 2.0**-53


_MASK = (1 << 64) - 1


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def choice_seed(seed: int, choice: int) -> int:
    """The seed of the ``choice``-th choice of a request."""
    return seed if choice == 0 else _mix((seed & _MASK) ^ _mix(choice))


def _change(row: Row, param: Params, history: History) -> None:
    """Penalties (OpenAI's two on the answer; repetition, Keskar et al. 2019, on the prompt too), biases, bans."""
    if history.counts and (param.frequency or param.presence):
        ids = np.fromiter(history.counts, np.int64, len(history.counts))
        counts = np.fromiter(history.counts.values(), np.float32, len(history.counts))
        row[ids] -= param.frequency * counts + param.presence
    if param.repetition != 1:
        said = np.fromiter(history.counts, np.int64, len(history.counts))
        ids = np.union1d(history.prompt, said)
        values = row[ids]
        row[ids] = np.where(values > 0, values / param.repetition, values * param.repetition)
    if len(param.bias_ids):
        row[param.bias_ids] += param.bias
    if history.length < param.banned_until:
        row[param.banned] = -np.inf


def _draw(row: Row, param: Params, chance: float) -> int:
    """A token by its probability among those that top_k, top_p and min_p leave."""
    scaled = row - row.max()
    scaled /= np.float32(max(param.temperature, _COLDEST))
    if not (param.top_k or param.top_p < 1 or param.min_p):
        heap = np.exp(scaled).cumsum(dtype=np.float64)
        return _place(heap, chance)
    ids = _candidates(scaled, param)
    weights = np.exp(scaled[ids], dtype=np.float64)
    if param.top_k:
        weights = weights[: param.top_k]
    if param.top_p < 1:
        total = weights.sum() if param.top_k else np.exp(scaled).sum(dtype=np.float64)
        before = weights.cumsum() - weights
        weights = weights[: max(1, int(np.count_nonzero(before < param.top_p * total)))]
    if param.min_p:
        weights = weights[weights >= param.min_p * weights[0]]
    return int(ids[_place(weights.cumsum(), chance)])


def _place(heap: NDArray[np.float64], chance: float) -> int:
    """Where ``chance`` falls in a running sum."""
    return min(int(np.searchsorted(heap, chance * float(heap[-1]), "right")), len(heap) - 1)


_NEAR = np.float32(-12)
_COLDEST = 1e-6  # below it nothing but the best is left, and float32 overflows


def _candidates(scaled: Row, param: Params) -> NDArray[np.int64]:
    """Ids from the likeliest on: as many as the truncation can leave. Sorting the few within 12 nats of the best is
    mostly enough, and ten times as quick as sorting all."""
    near = np.flatnonzero(scaled >= _NEAR)
    enough = len(near) >= param.top_k if param.top_k else False
    if not enough and not param.top_k:
        if param.top_p < 1:
            kept = np.exp(scaled[near]).sum(dtype=np.float64)
            enough = bool(kept >= param.top_p * np.exp(scaled).sum(dtype=np.float64))
        else:
            enough = param.min_p >= np.exp(_NEAR)
    ids = near if enough else np.arange(len(scaled))
    return ids[np.argsort(-scaled[ids], kind="stable")]


def _logprobs(row: Row, token: int, top: int) -> tuple[float, list[tuple[int, float]]]:
    """The token's log-probability, and the ``top`` likeliest tokens with theirs."""
    peak = row.max()
    norm = float(peak) + float(np.log(np.exp(row - peak).sum(dtype=np.float64)))
    if not top:
        return float(row[token]) - norm, []
    least = np.partition(row, -top)[-top] if top < len(row) else -np.inf
    ids = np.flatnonzero(row >= least)
    ids = ids[np.argsort(-row[ids], kind="stable")[:top]]
    rivals = [(int(index), float(row[index]) - norm) for index in ids]
    return float(row[token]) - norm, rivals
