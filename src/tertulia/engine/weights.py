"""Weights as the CPU multiplies them: unsigned codes with a zero point and a scale for each group of a row.

Every encoding that a file may hold becomes ``(codes - zero) * scale``. Offsets that a file keeps as numbers (Q4_1, Q4_K
...) have to become whole zero points: the codes are spread over the byte, each group by the factor (8 to 17 for four
bits) that brings its zero point nearest to a whole number. Layouts after ggml-common.h.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(slots=True)
class Codes:
    """A matrix [rows, groups, group size]: uint8 ``codes``, uint8 ``zero`` and float32 ``scale`` [rows, groups, 1].
    ``bits`` 4 says that no code is over 15."""

    codes: NDArray[np.uint8]
    zero: NDArray[np.uint8]
    scale: Floats
    bits: int = 8

    @property
    def shape(self) -> tuple[int, int]:
        rows, groups, size = self.codes.shape
        return rows, groups * size

    def rows(self, order: NDArray[np.intp]) -> "Codes":
        """The same matrix with its rows in another order."""
        return Codes(self.codes[order], self.zero[order], self.scale[order], self.bits)

    def floats(self) -> Floats:
        values = (self.codes.astype(np.float32) - self.zero.astype(np.float32)) * self.scale
        return values.reshape(self.shape)


Weight = Codes | Floats
_SLAB = 1 << 22
"""Weights that are decoded or rounded at a time: on the way they take up to 16 bytes each."""


def quantise(values: Array, size: int = 32) -> Codes:
    """Round a matrix [rows, columns] of numbers as in :func:`floats` to eight bits, in groups of ``size`` columns (of
    all, where they don't divide)."""
    columns = values.shape[1]
    if columns % size:
        size = columns
    return _slabs(lambda some: Codes(*_round(floats(some).reshape(len(some), -1, size))), values, columns)


def _slabs(make: Callable[[Array], Codes], raw: Array, columns: int) -> Codes:
    """What ``make`` makes of the rows of ``raw``, each of so many columns, some rows at a time."""
    step = max(_SLAB // columns, 1)
    whole = stack([make(raw[begin : begin + step]) for begin in range(0, len(raw), step)])
    assert whole is not None
    return whole


def stack(parts: list[Codes]) -> Codes | None:
    """Matrices of equal columns on one another; None unless their groups and bits are the same."""
    if len({(part.codes.shape[1:], part.bits) for part in parts}) != 1:
        return None
    if len(parts) == 1:
        return parts[0]
    return Codes(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.zero for part in parts]),
        np.concatenate([part.scale for part in parts]),
        parts[0].bits,
    )


def decode(type_name: str, shape: tuple[int, ...], data: memoryview) -> Weight:
    """The weight that a GGUF tensor of ``type_name`` holds: floats as they are, the quantised ones as Codes."""
    if type_name in FLOATS:
        return floats(np.frombuffer(data, FLOATS[type_name]).reshape(shape))
    block = np.frombuffer(data, np.uint8).reshape(shape[0], -1, _BLOCK_BYTES[type_name])
    return _slabs(_DECODERS[type_name], block, math.prod(shape[1:]))


FLOATS = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
"""Kinds of floats that files hold, and as what numpy reads them."""


def floats(raw: Array) -> Floats:
    """Numbers of float32, of float16, or of bfloat16 (which numpy takes for uint16)."""
    if raw.dtype != np.uint16:
        return raw.astype(np.float32, copy=False)
    wide = raw.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


_BLOCK_BYTES = {"Q4_0": 18, "Q4_1": 20, "Q5_0": 22, "Q5_1": 24, "Q8_0": 34, "Q4_K": 144, "Q5_K": 176, "Q6_K": 210}


def _half(raw: Array) -> Floats:
    """The float16 numbers in the last axis's byte pairs, with a trailing axis of one where there is one number."""
    return np.ascontiguousarray(raw).view(np.float16).astype(np.float32)


def _nibbles(raw: Array) -> Array:
    """Low halves first, then high halves, along the last axis."""
    return np.concatenate([raw & 15, raw >> 4], axis=-1)


def _fifth(raw: Array) -> Array:
    """32 single bits, from four bytes, little end first."""
    return np.unpackbits(np.ascontiguousarray(raw), axis=-1, bitorder="little")


def _q4_0(block: Array) -> Codes:
    codes = _nibbles(block[..., 2:])
    return Codes(codes, np.full((*codes.shape[:2], 1), 8, np.uint8), _half(block[..., :2]), bits=4)


def _q4_1(block: Array) -> Codes:
    return _affine(_nibbles(block[..., 4:]), _half(block[..., :2]), _half(block[..., 2:4]), 15)


def _q5_0(block: Array) -> Codes:
    codes: Array = _nibbles(block[..., 6:]) | (_fifth(block[..., 2:6]) << 4)
    return Codes(codes, np.full((*codes.shape[:2], 1), 16, np.uint8), _half(block[..., :2]))


def _q5_1(block: Array) -> Codes:
    codes = _nibbles(block[..., 8:]) | (_fifth(block[..., 4:8]) << 4)
    return _affine(codes, _half(block[..., :2]), _half(block[..., 2:4]), 31)


def _q8_0(block: Array) -> Codes:
    codes = (block[..., 2:] ^ 128).astype(np.uint8)  # int8 + 128
    return Codes(codes, np.full((*codes.shape[:2], 1), 128, np.uint8), _half(block[..., :2]))


def _k_scales(raw: Array) -> tuple[Floats, Floats]:
    """Eight 6-bit scales and eight 6-bit minima, packed in twelve bytes."""
    low, high, mixed = raw[..., 0:4], raw[..., 4:8], raw[..., 8:12]
    scales = np.concatenate([low & 63, (mixed & 15) | ((low >> 6) << 4)], axis=-1)
    minima = np.concatenate([high & 63, (mixed >> 4) | ((high >> 6) << 4)], axis=-1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _k_affine(block: Array, codes: Array, top: int) -> Codes:
    rows = block.shape[0]
    scales, minima = _k_scales(block[..., 4:16])
    scale = (_half(block[..., 0:2]) * scales).reshape(rows, -1, 1)
    offset = -(_half(block[..., 2:4]) * minima).reshape(rows, -1, 1)
    return _affine(codes.reshape(rows, -1, 32), scale, offset, top)


def _q4_k(block: Array) -> Codes:
    return _k_affine(block, _nibbles(block[..., 16:].reshape(*block.shape[:2], 4, 32)), 15)


def _q5_k(block: Array) -> Codes:
    low = _nibbles(block[..., 48:].reshape(*block.shape[:2], 4, 32)).reshape(*block.shape[:2], 8, 32)
    bits = np.unpackbits(block[..., None, 16:48], axis=-2, bitorder="little")
    return _k_affine(block, low | (bits << 4), 31)


def _q6_k(block: Array) -> Codes:
    rows = block.shape[0]
    low = _nibbles(block[..., :128].reshape(*block.shape[:2], 2, 64)).reshape(*block.shape[:2], 2, 4, 32)
    raw = block[..., 128:192].reshape(*block.shape[:2], 2, 1, 32)
    high = (raw >> np.array([0, 2, 4, 6], np.uint8)[:, None]) & 3
    scale = _half(block[..., 208:210]) * np.ascontiguousarray(block[..., 192:208]).view(np.int8).astype(np.float32)
    signed = (low | (high << 4)).astype(np.int16).reshape(rows, -1, 2, 16) - 32
    return _pair(signed, scale.reshape(rows, -1, 2, 1))


def _pair(codes: Array, scale: Floats) -> Codes:
    """One group of 32 from two of 16 (the plugin multiplies groups of 16 slowly, and not the same for every batch). The
    half with the larger scale keeps its values exactly, the other's are rounded to a quarter of that."""
    larger = np.where(np.abs(scale[:, :, :1]) >= np.abs(scale[:, :, 1:]), scale[:, :, :1], scale[:, :, 1:])
    step = np.where(larger == 0, 1, larger / 4).astype(np.float32)
    spread = np.clip(np.rint(codes * (scale / step)) + 128, 0, 255).astype(np.uint8)
    rows, groups = codes.shape[:2]
    zero = np.full((rows, groups, 1), 128, np.uint8)
    return Codes(spread.reshape(rows, groups, 32), zero, step.reshape(rows, groups, 1))


_DECODERS: dict[str, Callable[[Array], Codes]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}


def _affine(codes: Array, scale: Floats, offset: Floats, top: int) -> Codes:
    """``codes * scale + offset`` with whole zero points, for codes up to ``top``. Each group is spread by the factor
    that brings its zero point nearest to a whole number. A group that doesn't hold zero between its ends has none in a
    byte: such a group (a few in a million) is rounded anew."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = -offset / scale
        factor = np.ones_like(ratio)
        least = np.full_like(ratio, np.inf)
        for candidate in range(255 // top // 2, 255 // top + 1):
            error = np.abs(candidate * ratio - np.rint(candidate * ratio)) / candidate
            better = error < least
            factor[better], least[better] = candidate, error[better]
    zero = np.rint(ratio * factor)
    fits = np.isfinite(zero) & (zero >= 0) & (zero <= 255)
    spread = codes * factor.astype(np.uint8)
    zeros = np.where(fits, zero, 0).astype(np.uint8)
    scales = (scale / factor).astype(np.float32)
    odd = np.nonzero(~fits[..., 0])
    if len(odd[0]):
        spread[odd], zeros[odd], scales[odd] = _round(codes[odd] * scale[odd] + offset[odd])
    return Codes(spread, zeros, scales)


def _round(values: Floats) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
    """Codes, zero and scale of float groups along the last axis."""
    low = np.minimum(values.min(-1, keepdims=True), 0)
    high = np.maximum(values.max(-1, keepdims=True), 0)
    scale = ((high - low) / 255).astype(np.float32)
    scale[scale == 0] = 1
    zero = np.rint(-low / scale)
    codes = np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8)
    return codes, zero.astype(np.uint8), scale
