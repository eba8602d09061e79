"""Every encoding against `gguf.dequantize`."""

import tracemalloc
from collections.abc import Callable

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tertulia.engine import weights
from tertulia.engine.weights import Codes, decode, quantise

ROWS, COLUMNS = 6, 512
EXACT = ("Q4_0", "Q5_0", "Q8_0")
AFFINE = {"Q4_1": 32, "Q5_1": 32, "Q4_K": 32, "Q5_K": 32}


def halves(count: int, low: float, high: float, seed: int) -> np.ndarray:
    """Float16 numbers as bytes [count, 2]."""
    values = np.random.default_rng(seed).uniform(low, high, count).astype(np.float16)
    return values.view(np.uint8).reshape(count, 2)


def encoded(name: str, seed: int = 0) -> np.ndarray:
    """A random matrix of that encoding, its scales and minima such as real files have."""
    block, size = gguf.GGML_QUANT_SIZES[Kind[name]]
    count = ROWS * COLUMNS // block
    data = np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)
    if name == "Q6_K":
        data[:, 208:210] = halves(count, 1e-4, 1e-2, seed)
    else:
        data[:, :2] = halves(count, 1e-3, 1e-2, seed)
    if name in ("Q4_1", "Q5_1"):  # the minimum: below zero, and the range goes beyond it
        data[:, 2:4] = halves(count, -1.5e-2, 0, seed + 1)
    if name in ("Q4_K", "Q5_K"):
        data[:, 2:4] = halves(count, 1e-3, 1e-2, seed + 1)
    return data.reshape(ROWS, -1)


def truth(name: str, data: np.ndarray) -> np.ndarray:
    return gguf.dequantize(data, Kind[name]).reshape(ROWS, COLUMNS)


def decoded(name: str, data: np.ndarray) -> Codes:
    found = decode(name, (ROWS, COLUMNS), memoryview(data.tobytes()))
    assert isinstance(found, Codes)
    assert found.shape == (ROWS, COLUMNS)
    return found


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("seed", range(3))
def test_symmetric_encodings_keep_every_number(name: str, seed: int) -> None:
    data = encoded(name, seed)
    np.testing.assert_array_equal(decoded(name, data).floats(), truth(name, data))


@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("seed", range(3))
def test_affine_encodings_keep_their_numbers_within_a_32nd_of_a_step(name: str, seed: int) -> None:
    data = encoded(name, seed)
    expected, found = truth(name, data), decoded(name, data)
    groups = expected.reshape(ROWS, -1, AFFINE[name])
    holds_zero = (groups.min(-1) <= 0) & (groups.max(-1) >= 0)
    assert holds_zero.mean() > 0.4
    error = np.abs(found.floats().reshape(groups.shape) - groups)
    # Five bits leave room in the byte for a spread of 8 only: a 16th.
    limit = steps(groups) / (32 if "4" in name else 16)
    assert (error <= limit * 1.02 + 1e-9)[holds_zero].all()


def steps(groups: np.ndarray) -> np.ndarray:
    """The step of each group: its 32 random numbers are sure to hold two neighbours."""
    gaps = np.diff(np.sort(groups), axis=-1)
    return np.where(gaps > 1e-7, gaps, np.inf).min(-1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_of_two_groups_of_16_the_coarser_is_kept_and_the_finer_moves_by_an_eighth_of_its_step(seed: int) -> None:
    """Q6_K has groups of 16, we have groups of 32; that eighth is of the coarser group's step."""
    data = encoded("Q6_K", seed)
    block = data.reshape(-1, 210)
    scales = block[:, 208:210].copy().view(np.float16).astype(np.float64) * block[:, 192:208].copy().view(np.int8)
    step = np.abs(scales).reshape(ROWS, -1, 2, 1)
    coarser = step.max(2, keepdims=True)
    expected = truth("Q6_K", data).reshape(ROWS, -1, 2, 16)
    error = np.abs(decoded("Q6_K", data).floats().reshape(expected.shape) - expected)
    kept = np.broadcast_to(step == coarser, expected.shape)
    np.testing.assert_allclose(error[kept], 0, atol=1e-6)
    # Where both steps are the same but for their signs, the code -32 lies one step of the byte beyond its end.
    edge = np.abs(expected) > 31.5 * coarser
    assert (error <= coarser / np.where(edge, 4, 8) * 1.001 + 1e-6).all()


def test_a_group_without_zero_between_its_ends_is_rounded_to_eight_bits() -> None:
    data = encoded("Q4_1").reshape(-1, 20)
    data[:, 2:4] = halves(len(data), 0.01, 0.02, 5)  # minima above zero
    expected, found = truth("Q4_1", data.reshape(ROWS, -1)), decoded("Q4_1", data.reshape(ROWS, -1))
    reach = expected.reshape(ROWS, -1, 32).max(-1, keepdims=True)
    error = np.abs(found.floats() - expected).reshape(ROWS, -1, 32)
    assert (error <= reach / 255 / 2 * 1.01).all()


def test_a_group_of_equal_numbers_stays_one() -> None:
    data = np.zeros((ROWS, COLUMNS // 32 * 20), np.uint8).reshape(-1, 20)
    data[:, 2:4] = halves(len(data), -0.5, 0.5, 3)  # scale 0: every number is the minimum
    expected, found = truth("Q4_1", data.reshape(ROWS, -1)), decoded("Q4_1", data.reshape(ROWS, -1)).floats()
    np.testing.assert_allclose(found, expected, rtol=1 / 255)


@pytest.mark.parametrize("name", [*EXACT, *AFFINE, "Q6_K"])
def test_all_zero_bytes_are_all_zeros(name: str) -> None:
    _, size = gguf.GGML_QUANT_SIZES[Kind[name]]
    data = np.zeros((ROWS, COLUMNS // gguf.GGML_QUANT_SIZES[Kind[name]][0] * size), np.uint8)
    np.testing.assert_array_equal(decoded(name, data).floats(), 0)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_floats_are_read_as_they_are(name: str) -> None:
    values = np.random.default_rng(1).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    data = gguf.quantize(values, Kind[name])
    found = decode(name, (ROWS, COLUMNS), memoryview(np.ascontiguousarray(data).tobytes()))
    np.testing.assert_array_equal(found, gguf.dequantize(data, Kind[name]).reshape(ROWS, COLUMNS))


def test_only_codes_of_four_bits_say_so() -> None:
    for name in (*EXACT, *AFFINE, "Q6_K"):
        found = decoded(name, encoded(name))
        assert (found.bits == 4) == (name == "Q4_0")
        assert found.codes.max() < 1 << found.bits


def test_rows_can_be_put_in_another_order() -> None:
    found = decoded("Q4_1", encoded("Q4_1"))
    order = np.array([3, 1, 0, 5, 4, 2])
    np.testing.assert_array_equal(found.rows(order).floats(), found.floats()[order])


@pytest.mark.parametrize("name", [*EXACT, *AFFINE, "Q6_K"])
def test_some_rows_at_a_time_are_decoded_as_all_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = decoded(name, encoded(name))
    monkeypatch.setattr(weights, "_SLAB", 4 * COLUMNS)
    found = decoded(name, encoded(name))
    for part in ("codes", "zero", "scale"):
        np.testing.assert_array_equal(getattr(found, part), getattr(whole, part))
    assert found.bits == whole.bits


@pytest.mark.parametrize("kind", ["quantised", "Q4_K"])
def test_decoding_takes_little_more_memory_than_what_comes_of_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_SLAB", 1 << 16)
    numbers = np.ones((1024, 1024), np.uint16) if kind == "quantised" else np.ones((1024, 1024 * 144 // 256), np.uint8)
    data = memoryview(numbers.tobytes())
    tracemalloc.start()
    found = quantise(numbers) if kind == "quantised" else decode(kind, (1024, 1024), data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, Codes) and most < 4 * found.codes.nbytes


floats = npst.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.sampled_from([32, 64, 96])), elements=st.floats(-100, 100, width=32)
)


@given(values=floats)
def test_quantising_moves_no_number_by_more_than_half_a_step(values: np.ndarray) -> None:
    found = quantise(values)
    groups = values.reshape(len(values), -1, 32)
    # The zero point is rounded too, so a number that is clipped at an end may lie a whole half step beyond it.
    span = np.maximum(groups.max(-1), 0) - np.minimum(groups.min(-1), 0)
    error = np.abs(found.floats() - values).reshape(groups.shape).max(-1)
    assert (error <= span / 255 * 0.5 * 1.001 + 1e-6).all(), (error / np.maximum(span / 255, 1e-30)).max()


@given(values=floats)
def test_quantising_keeps_zero(values: np.ndarray) -> None:
    values[:, ::3] = 0
    assert (quantise(values).floats()[:, ::3] == 0).all()


def test_columns_that_do_not_divide_are_one_group_a_row() -> None:
    values = np.random.default_rng(3).normal(size=(3, 50)).astype(np.float32)
    found = quantise(values)
    assert found.codes.shape == (3, 1, 50)
    assert np.abs(found.floats() - values).max() <= (values.max() - values.min()) / 255


@pytest.mark.parametrize("name", AFFINE)
def test_the_spread_of_a_group_fits_a_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No code wraps around: the largest code times its factor stays under 256."""
    factors: list[int] = []
    original: Callable[..., Codes] = weights._affine

    def watched(codes: np.ndarray, scale: np.ndarray, offset: np.ndarray, top: int) -> Codes:
        found = original(codes, scale, offset, top)
        used = codes > 0
        factors.append(int((found.codes[used] / codes[used]).max()))
        assert codes.max() <= top
        return found

    monkeypatch.setattr(weights, "_affine", watched)
    decoded(name, encoded(name))
    assert max(factors) * (15 if "4" in name else 31) <= 255
