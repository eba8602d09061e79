"""Numbers and texts as llguidance keeps them: bounds are floats, and not every text can be written."""

import math
import sys
from typing import Any, cast

EXACT = 1 << 53
"""Up to here integers are floats exactly."""
MOST = (1 << 63) - 1024
"""The greatest bound of integers: below 64 bits, and a float."""
FAR = sys.float_info.max
"""The greatest number that a schema may have."""
LEAST = 1e-9
"""Bounds nearer to 0 are moved away from it."""


def exact(value: Any) -> bool:
    """Whether llguidance writes ``value`` as it is."""
    if isinstance(value, str):
        return not any((ord(char) < 32 and char not in "\b\f\n\r\t") or ord(char) == 127 for char in value)
    if is_number(value):
        return abs(value) < MOST and int(float(value)) == int(value)
    if isinstance(value, list):
        return all(map(exact, cast(list[Any], value)))
    if isinstance(value, dict):
        return all(exact(part) for pair in cast(dict[str, Any], value).items() for part in pair)
    return True


def integral(low: float | None, high: float | None, under: Any, over: Any) -> tuple[int | None, int | None]:
    """The least and the greatest integer; ``under`` and ``over`` are excluded themselves."""
    lows = [math.ceil(low)] if low is not None else []
    lows += [math.floor(under) + 1] if is_number(under) else []
    highs = [math.floor(high)] if high is not None else []
    highs += [math.ceil(over) - 1] if is_number(over) else []
    return (_near(max(lows), 1) if lows else None, _near(min(highs), -1) if highs else None)


def _near(bound: int, step: int) -> int:
    """``bound`` as a float has it, moved inwards where that is not the same."""
    near = float(max(min(bound, MOST), -MOST))
    while (bound - int(near)) * step > 0:
        near = math.nextafter(near, step * math.inf)
    return int(near)


def real(low: float | None, high: float | None, under: Any, over: Any) -> tuple[float | None, float | None]:
    """The least and the greatest number; one that is excluded gives way to a neighbour: digits that a float has no room
    for are rounded to it."""
    lows = [_inward(low, 1, False)] if low is not None else []
    lows += [_inward(under, 1, True)] if is_number(under) else []
    highs = [_inward(high, -1, False)] if high is not None else []
    highs += [_inward(over, -1, True)] if is_number(over) else []
    return (max(lows) if lows else None, min(highs) if highs else None)


def _inward(bound: float, step: int, excluded: bool) -> float:
    """``bound`` in few enough digits to be read exactly; if it is not, the next such number along ``step``."""
    if abs(bound) < LEAST:
        return LEAST * step if bound * step > 0 or (excluded and not bound) else 0
    if abs(bound) > EXACT:
        return bound if bound * step > 0 else -step * EXACT
    if not excluded and (isinstance(bound, int) or float(f"{bound:.12g}") == bound):
        return bound
    return float(f"{bound + step * abs(bound) * 1e-11:.12g}")


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)
