"""The vision tower of Qwen2.5-VL as OpenVINO graphs: most of its layers see a picture through windows.

Like tower.py it works in pieces of about ``ROWS`` patches of one layer. A window's patches stand side by side, so a
piece of a layer with windows is some windows of one size; a piece of a layer that sees all is some rows of queries.
"""

from collections.abc import Callable, Generator
from itertools import groupby
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from tertulia.engine.nodes import Node, compiled, entry, finish, linear, norm, op, present, reshape, transpose, turn
from tertulia.engine.qwen import Qwen
from tertulia.engine.tiles import Pixels
from tertulia.engine.weights import Codes, Weight

Floats = NDArray[np.float32]
Part = tuple[slice, int]
"""Rows that are computed in one piece, and how many of them see each other: 0 stands for all of the picture."""
ROWS = 128
"""Patches of one layer that are computed without a break."""
EPS = 1e-6


class Windows:
    """A compiled tower. ``weight`` gives its tensors by our names (``vision.patch``, ``vision.0.qkv`` ...,
    ``connector.up``), in eight bits or not; activations are float32."""

    def __init__(self, vision: Qwen, weight: Callable[[str], Weight | None], threads: int = 0) -> None:
        self.vision = vision

        def ready(graph: ov.Model) -> Any:
            return compiled(graph, threads, DYNAMIC_QUANTIZATION_GROUP_SIZE=0).create_infer_request()

        build = _Builder(vision, weight)
        self._first = ready(build.first())
        self._layers = [ready(build.layer(index)) for index in range(vision.layers)]
        self._last = ready(build.last())

    def pieces(self, tiles: Pixels) -> int:
        """Pieces that a picture is done in."""
        rows, columns = self._grid(tiles)
        _, sizes = self.vision.windows(rows, columns)
        everything, windows = _all(rows * columns, self.vision.merge**2), _grouped(sizes, self.vision.merge**2)
        full = len(self.vision.full)
        return (2 + full) * len(everything) + (self.vision.layers - full) * len(windows)

    def see(self, tiles: Pixels) -> Generator[None, None, Floats]:
        """Compute the rows of a picture [height, width, 3] that was brought to its size; stops after each piece."""
        vision, grid = self.vision, self._grid(tiles)
        order, sizes = vision.windows(*grid)
        everything, windows = _all(len(order), vision.merge**2), _grouped(sizes, vision.merge**2)
        raw = vision.cells(tiles)[order].reshape(-1, 3 * vision.patch**2)
        waves = rotary(vision, *grid)[:, order].reshape(2, len(raw), 1, 1, -1)
        state, following = _State(vision, len(raw)), _State(vision, len(raw))
        for part, _ in everything:
            self._first.infer({"patches": raw[part], "cosine": waves[0, part], "sine": waves[1, part]})
            following.keep(self._first, part)
            yield
        for index, layer in enumerate(self._layers):
            state, following = following, state
            for part, alone in everything if index in vision.full else windows:
                inputs = state.given(part, alone)
                if index < vision.layers - 1:
                    inputs |= {"cosine": waves[0, part], "sine": waves[1, part]}
                layer.infer(inputs, share_inputs=True)
                following.keep(layer, part)
                yield
        found: list[Floats] = []
        for part, _ in everything:
            self._last.infer({"hidden": following.hidden[part]})
            found.append(self._last.get_output_tensor(0).data.copy())
            yield
        rows = np.concatenate(found)
        placed = np.empty_like(rows)
        placed[order] = rows
        return placed

    def _grid(self, tiles: Pixels) -> tuple[int, int]:
        height, width = tiles.shape[:2]
        return height // self.vision.step, width // self.vision.step


def rotary(vision: Qwen, rows: int, columns: int) -> Floats:
    """Cosine and sine [2, tokens, merge * merge, head size] of the places of a picture's patches: a half of what is
    turned tells how far down one is, the other half how far across."""
    size, merge = vision.hidden // vision.heads, vision.merge
    half = np.arange(0, size // 2, 2, dtype=np.float32) / np.float32(size // 2)
    frequencies = (1 / vision.theta**half).astype(np.float32)
    places = np.indices((rows * merge, columns * merge), np.float32)
    places = places.reshape(2, rows, merge, columns, merge).transpose(1, 3, 2, 4, 0)
    angles = (places.reshape(rows * columns, merge**2, 2, 1) * frequencies).reshape(rows * columns, merge**2, -1)
    both = np.concatenate([angles, angles], -1)
    return np.stack([np.cos(both), np.sin(both)])


def _all(tokens: int, unit: int) -> list[Part]:
    """Whole tokens, of ``unit`` patches each, as far as ``ROWS`` go."""
    count, step = tokens * unit, max(ROWS // unit, 1) * unit
    return [(slice(begin, min(begin + step, count)), 0) for begin in range(0, count, step)]


def _grouped(sizes: list[int], unit: int) -> list[Part]:
    """Windows of equal sizes that stand side by side, together as far as ``ROWS`` go."""
    parts: list[Part] = []
    begin = 0
    for size, group in groupby(size * unit for size in sizes):
        count, most = len(list(group)), max(ROWS // size, 1)
        for first in range(0, count, most):
            end = begin + min(most, count - first) * size
            parts.append((slice(begin, end), size))
            begin = end
    return parts


class _State:
    """What a layer is given: the hidden rows [patches, hidden] of all patches, and their queries, keys and values."""

    def __init__(self, vision: Qwen, count: int) -> None:
        self.hidden = np.empty((count, vision.hidden), np.float32)
        self.heads = np.empty((3, count, vision.heads, vision.hidden // vision.heads), np.float32)

    def given(self, part: slice, alone: int) -> dict[str, Floats]:
        """The inputs of a piece: ``alone`` rows see each other, or all."""
        shape = (-1, alone or part.stop - part.start, *self.heads.shape[2:])
        query, key, value = self.heads[:, part] if alone else (self.heads[0, part], *self.heads[1:])
        seen = shape if alone else (1, *self.heads.shape[1:])
        return {
            "hidden": self.hidden[part],
            "query": query.reshape(shape),
            "key": key.reshape(seen),
            "value": value.reshape(seen),
        }

    def keep(self, request: Any, part: slice) -> None:
        """What a layer gave for some rows; the last one gives no queries."""
        self.hidden[part] = request.get_output_tensor(0).data
        for index in range(len(request.model_outputs) - 1):
            self.heads[index, part] = request.get_output_tensor(index + 1).data[:, 0]


class _Builder:
    """Makes the graphs: as tower.py's, the first and each layer give what the next one needs."""

    def __init__(self, vision: Qwen, weight: Callable[[str], Weight | None]) -> None:
        self._vision = vision
        self._weight = weight
        self._size = vision.hidden // vision.heads

    def first(self) -> ov.Model:
        raw = entry([-1, 3 * self._vision.patch**2], ov.Type.f32, "patches")
        value = self._present("vision.patch")
        value = value.floats() if isinstance(value, Codes) else value
        # All frames are the same picture: what they are multiplied by can be added up beforehand.
        value = value.reshape(self._vision.hidden, 3, self._vision.frames, -1).sum(2)
        hidden = linear(raw, value.reshape(self._vision.hidden, -1))
        waves = self._waves()
        return finish([hidden, *self._parts(hidden, 0, waves)], [raw, *waves], "first")

    def layer(self, index: int) -> ov.Model:
        vision, name = self._vision, f"vision.{index}"
        hidden = entry([-1, vision.hidden], ov.Type.f32, "hidden")
        parts = [entry([-1, -1, vision.heads, self._size], ov.Type.f32, part) for part in ("query", "key", "value")]
        attended = op.scaled_dot_product_attention(*(transpose(part, 0, 2, 1, 3) for part in parts))
        rows = reshape(transpose(attended, 0, 2, 1, 3), -1, vision.hidden)
        after = op.add(hidden, self._linear(rows, f"{name}.o"))
        normed = self._norm(after, f"{name}.mlp_norm")
        gated = op.multiply(op.swish(self._linear(normed, f"{name}.gate")), self._linear(normed, f"{name}.up"))
        after = op.add(after, self._linear(gated, f"{name}.down"))
        if index == vision.layers - 1:
            return finish([after], [hidden, *parts], name)
        waves = self._waves()
        return finish([after, *self._parts(after, index + 1, waves)], [hidden, *parts, *waves], name)

    def last(self) -> ov.Model:
        """The patches of a token, put end to end, become one row."""
        vision = self._vision
        hidden = entry([-1, vision.hidden], ov.Type.f32, "hidden")
        rows = reshape(self._norm(hidden, "vision.norm"), -1, vision.hidden * vision.merge**2)
        wide = op.gelu(self._linear(rows, "connector.up"), "erf")
        return finish([self._linear(wide, "connector.down")], [hidden], "connector")

    def _waves(self) -> list[Node]:
        return [entry([-1, 1, 1, self._size], ov.Type.f32, name) for name in ("cosine", "sine")]

    def _parts(self, hidden: Node, index: int, waves: list[Node]) -> list[Node]:
        """Query, key and value [rows, 1, heads, head size]."""
        whole = self._linear(self._norm(hidden, f"vision.{index}.attention_norm"), f"vision.{index}.qkv")
        heads: Any = reshape(whole, -1, 3, self._vision.heads, self._size)
        apart: Any = op.split(heads, op.constant(np.int64(1)), 3)
        query, key = (turn(apart.output(part), waves[0], waves[1], self._size) for part in range(2))
        return [query, key, apart.output(2)]

    def _norm(self, x: Node, name: str) -> Node:
        return norm(x, self._present(name), EPS)

    def _linear(self, x: Node, name: str) -> Node:
        return linear(x, self._present(name), self._present(f"{name}.bias"))

    def _present(self, name: str) -> Weight:
        return present(self._weight(name), name)
