"""A vision tower with its connector as OpenVINO graphs, one for each layer: pictures to rows of an embedding.

The work is done in pieces, so that whoever streams text waits for one piece at most: a layer of a tile, or of a part of
its patches where it has many. The pieces are always the same, so a picture's embedding is the same to the last bit
whoever was served meanwhile.
"""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from tertulia.engine.idefics import Idefics
from tertulia.engine.nodes import Node, compiled, entry, finish, op
from tertulia.engine.tiles import Pixels
from tertulia.engine.weights import Weight
from tertulia.errors import StoreError

Floats = NDArray[np.float32]
WHOLE = 256
"""Patches up to which a tile's layer is one piece: a few milliseconds for a small tower."""
ROWS = 128
"""The most patches of a larger tile that are computed without a break."""


class Tower:
    """A compiled vision tower. ``weight`` gives its tensors by our names (``vision.patch``, ``vision.0.q`` ...,
    ``connector``). Weights and activations are float32."""

    def __init__(self, vision: Idefics, weight: Callable[[str], Weight | None], threads: int = 0) -> None:
        self.vision = vision

        def ready(graph: ov.Model) -> Any:
            return compiled(graph, threads).create_infer_request()

        count = vision.patches**2
        steps = 1 if count <= WHOLE else -(-count // ROWS)
        step = -(-count // steps)
        self._parts = [slice(begin, min(begin + step, count)) for begin in range(0, count, step)]
        build = _Builder(vision, weight, steps > 1)
        self._first = ready(build.first())
        self._layers = [ready(build.layer(index)) for index in range(vision.layers)]
        self._last = ready(build.last())
        self._each = (vision.layers + 1) * steps + 1

    def pieces(self, tiles: Pixels) -> int:
        """Pieces that some tiles are done in."""
        return len(tiles) * self._each

    def see(self, tiles: Pixels) -> Generator[None, None, Floats]:
        """Compute the rows [tiles * rows, hidden] of some tiles [tiles, side, side, 3]; stops after each piece."""
        found: list[Floats] = [np.empty(0, np.float32)] * len(tiles)
        for index, tile in enumerate(tiles):
            found[index] = yield from self._tile(tile)
        return np.concatenate(found)

    def _tile(self, tile: Pixels) -> Generator[None, None, Floats]:
        raw, places = self.vision.cells(tile), self.vision.positions()
        whole = len(self._parts) == 1
        # hidden, and of a tile in parts query, key and value: all its patches are attended to by each
        state = np.empty((1 if whole else 4, len(raw), self.vision.hidden), np.float32)
        following = np.empty_like(state)
        for part in self._parts:
            _compute(self._first, {"patches": raw[part], "places": places[part]}, following, part)
            yield
        for layer in self._layers:
            state, following = following, state
            for part in self._parts:
                given = {"hidden": state[0, part]}
                if not whole:
                    given |= {"query": state[1, part], "key": state[2], "value": state[3]}
                _compute(layer, given, following, part)
                yield
        self._last.infer({"hidden": following[0]}, share_inputs=True, share_outputs=True)
        rows = self._last.get_output_tensor(0).data.copy()
        yield
        return rows


def _compute(request: Any, given: dict[str, Any], state: Floats, part: slice) -> None:
    """Run a graph; what comes of it goes to a part of ``state``, where the next run doesn't overwrite it."""
    request.infer(given, share_inputs=True, share_outputs=True)
    for index in range(len(request.model_outputs)):
        state[index, part] = request.get_output_tensor(index).data


class _Builder:
    """Makes the graphs. The first turns patches into the hidden rows of the first layer, each layer those of the next.
    For tiles in ``parts`` all but the last layer give the next one's query, key and value beside."""

    def __init__(self, vision: Idefics, weight: Callable[[str], Weight | None], parts: bool) -> None:
        self._vision = vision
        self._weight = weight
        self._parts = parts

    def first(self) -> ov.Model:
        raw = entry([-1, 3 * self._vision.patch**2], ov.Type.f32, "patches")
        places = entry([-1], ov.Type.i64, "places")
        table = op.constant(self._floats("vision.positions"))
        row = op.gather(table, places, op.constant(0, ov.Type.i32))
        hidden = op.add(self._linear(raw, "vision.patch"), row)
        return finish([hidden, *self._beside(hidden, 0)], [raw, places], "first")

    def layer(self, index: int) -> ov.Model:
        vision, name = self._vision, f"vision.{index}"
        before = entry([-1, vision.hidden], ov.Type.f32, "hidden")
        given = (
            [entry([-1, vision.hidden], ov.Type.f32, part) for part in ("query", "key", "value")] if self._parts else []
        )
        attending = given or self._projected(before, index)
        attended = op.scaled_dot_product_attention(*(self._heads(part) for part in attending))
        rows = op.transpose(attended, op.constant(np.array([0, 2, 1, 3], np.int64)))
        rows = op.reshape(rows, op.constant(np.array([-1, vision.hidden], np.int64)), False)
        hidden = op.add(before, self._linear(rows, f"{name}.o"))
        wide = self._linear(self._norm(hidden, f"{name}.mlp_norm"), f"{name}.up")
        wide = op.gelu(wide, "erf") if vision.exact_gelu else _gelu(wide)
        hidden = op.add(hidden, self._linear(wide, f"{name}.down"))
        return finish([hidden, *self._beside(hidden, index + 1)], [before, *given], name)

    def last(self) -> ov.Model:
        """The connector: ``factor`` squared neighbouring patches, put end to end, become one row."""
        vision = self._vision
        count, factor, size = vision.patches, vision.factor, vision.hidden
        hidden = entry([count * count, size], ov.Type.f32, "hidden")
        few = count // factor
        cells = op.constant(np.array([few, factor, few, factor, size], np.int64))
        grid = op.reshape(self._norm(hidden, "vision.norm"), cells, False)
        grid = op.transpose(grid, op.constant(np.array([0, 2, 1, 3, 4], np.int64)))
        rows = op.reshape(grid, op.constant(np.array([few * few, factor**2 * size], np.int64)), False)
        projected = op.matmul(rows, op.constant(self._floats("connector")), False, True)
        return finish([projected], [hidden], "connector")

    def _beside(self, hidden: Node, index: int) -> list[Node]:
        """What the layer ``index`` is given beside its hidden rows."""
        return self._projected(hidden, index) if self._parts and index < self._vision.layers else []

    def _projected(self, hidden: Node, index: int) -> list[Node]:
        normed = self._norm(hidden, f"vision.{index}.attention_norm")
        return [self._linear(normed, f"vision.{index}.{part}") for part in "qkv"]

    def _heads(self, x: Node) -> Node:
        heads = self._vision.heads
        shape = np.array([1, -1, heads, self._vision.hidden // heads], np.int64)
        split = op.reshape(x, op.constant(shape), False)
        return op.transpose(split, op.constant(np.array([0, 2, 1, 3], np.int64)))

    def _norm(self, x: Node, name: str) -> Node:
        axes = op.constant(np.array([-1], np.int64))
        normed = op.mvn(x, axes, True, self._vision.eps, "INSIDE_SQRT")
        scaled = op.multiply(normed, op.constant(self._floats(name)))
        return op.add(scaled, op.constant(self._floats(f"{name}.bias")))

    def _linear(self, x: Node, name: str) -> Node:
        y = op.matmul(x, op.constant(self._floats(name)), False, True)
        return op.add(y, op.constant(self._floats(f"{name}.bias")))

    def _floats(self, name: str) -> Floats:
        value = self._weight(name)
        if not isinstance(value, np.ndarray):
            raise StoreError(f"the model's weights lack the tensor '{name}'")
        return np.ascontiguousarray(value, np.float32)


def _gelu(x: Node) -> Node:
    """GELU by tanh (Hendrycks and Gimpel 2016) as what it is, x * sigmoid(2 u): the plugin multiplies matrices half as
    fast where its own GELU, or tanh, is behind them (AVX2)."""
    twice = np.float32(2 * (2 / np.pi) ** 0.5)
    cubic = op.multiply(op.multiply(x, x), op.constant(np.float32(0.044715) * twice))
    return op.multiply(x, op.sigmoid(op.multiply(x, op.add(cubic, op.constant(twice)))))
