"""A vision tower with its connector as OpenVINO graphs, one for each layer: pictures to rows of an embedding.

The work is done in pieces of ``ROWS`` patches of one layer, so that whoever streams text waits for one piece at most.
The pieces are always the same, so a picture's embedding is the same to the last bit whoever was served meanwhile.
"""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13

from tertulia.engine.tiles import Pixels, patches
from tertulia.engine.vision import Vision
from tertulia.engine.weights import Weight
from tertulia.errors import StoreError

Node = Any
op: Any = opset13
Floats = NDArray[np.float32]
ROWS = 128
"""Patches of one layer that are computed without a break: some milliseconds for a small tower."""


class Tower:
    """A compiled vision tower. ``weight`` gives its tensors by our names (``vision.patch``, ``vision.0.q`` ...,
    ``connector``). Weights and activations are float32."""

    def __init__(self, vision: Vision, weight: Callable[[str], Weight | None], threads: int = 0) -> None:
        self.vision = vision
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        core = ov.Core()

        def compiled(graph: ov.Model) -> Any:
            return core.compile_model(graph, "CPU", options).create_infer_request()

        build = _Builder(vision, weight)
        self._first = compiled(build.first())
        self._layers = [compiled(build.layer(index)) for index in range(vision.layers)]
        self._last = compiled(build.last())
        self.pieces = (vision.layers + 1) * -(-(vision.patches**2) // ROWS) + 1
        """Pieces that a tile is done in."""

    def see(self, tiles: Pixels) -> Generator[None, None, Floats]:
        """Compute the rows [tiles * rows, hidden] of some tiles [tiles, side, side, 3]; stops after each piece."""
        found: list[Floats] = [np.empty(0, np.float32)] * len(tiles)
        for index, tile in enumerate(tiles):
            found[index] = yield from self._tile(tile)
        return np.concatenate(found)

    def _tile(self, tile: Pixels) -> Generator[None, None, Floats]:
        raw = patches(self.vision, tile)
        count, hidden = len(raw), self.vision.hidden
        state = np.empty((4, count, hidden), np.float32)  # hidden, query, key, value
        following = np.empty_like(state)
        places = self.vision.positions()
        for begin in range(0, count, ROWS):
            part = slice(begin, begin + ROWS)
            self._first.infer({"patches": raw[part], "places": places[part].astype(np.int64)})
            _keep(self._first, following, part)
            yield
        for layer in self._layers:
            state, following = following, state
            for begin in range(0, count, ROWS):
                part = slice(begin, begin + ROWS)
                layer.infer({"hidden": state[0, part], "query": state[1, part], "key": state[2], "value": state[3]})
                _keep(layer, following, part)
                yield
        self._last.infer({"hidden": following[0]})
        yield
        return self._last.get_output_tensor(0).data.copy()


def _keep(request: Any, state: Floats, part: slice) -> None:
    for index in range(len(request.model_outputs)):
        state[index, part] = request.get_output_tensor(index).data


class _Builder:
    """Makes the graphs. The first turns patches into the hidden rows of the first layer, each layer those of the next;
    all but the last layer give the query, key and value beside."""

    def __init__(self, vision: Vision, weight: Callable[[str], Weight | None]) -> None:
        self._vision = vision
        self._weight = weight

    def first(self) -> ov.Model:
        raw = _input([-1, 3 * self._vision.patch**2], "patches")
        places = _input([-1], "places", ov.Type.i64)
        table = op.constant(self._floats("vision.positions"))
        row = op.gather(table, places, op.constant(0, ov.Type.i32))
        hidden = op.add(self._linear(raw, "vision.patch"), row)
        return _model([hidden, *self._parts(hidden, 0)], [raw, places], "first")

    def layer(self, index: int) -> ov.Model:
        vision, name = self._vision, f"vision.{index}"
        hidden, query, key, value = inputs = [
            _input([-1, vision.hidden], part) for part in ("hidden", "query", "key", "value")
        ]
        attended = op.scaled_dot_product_attention(*(self._heads(part) for part in (query, key, value)))
        rows = op.transpose(attended, op.constant(np.array([0, 2, 1, 3], np.int64)))
        rows = op.reshape(rows, op.constant(np.array([-1, vision.hidden], np.int64)), False)
        hidden = op.add(hidden, self._linear(rows, f"{name}.o"))
        wide = self._linear(self._norm(hidden, f"{name}.mlp_norm"), f"{name}.up")
        wide = op.gelu(wide, "erf" if vision.exact_gelu else "tanh")
        hidden = op.add(hidden, self._linear(wide, f"{name}.down"))
        last = index == vision.layers - 1
        return _model([hidden] if last else [hidden, *self._parts(hidden, index + 1)], inputs, name)

    def last(self) -> ov.Model:
        """The connector: ``factor`` squared neighbouring patches, put end to end, become one row."""
        vision = self._vision
        count, factor, size = vision.patches, vision.factor, vision.hidden
        hidden = _input([count * count, size], "hidden")
        few = count // factor
        cells = op.constant(np.array([few, factor, few, factor, size], np.int64))
        grid = op.reshape(self._norm(hidden, "vision.norm"), cells, False)
        grid = op.transpose(grid, op.constant(np.array([0, 2, 1, 3, 4], np.int64)))
        rows = op.reshape(grid, op.constant(np.array([few * few, factor**2 * size], np.int64)), False)
        projected = op.matmul(rows, op.constant(self._floats("connector")), False, True)
        return _model([projected], [hidden], "connector")

    def _parts(self, hidden: Node, index: int) -> list[Node]:
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


def _input(shape: list[int], name: str, kind: ov.Type = ov.Type.f32) -> Node:
    node = op.parameter(ov.PartialShape(shape), kind, name=name)
    node.output(0).set_names({name})
    return node


def _model(outputs: list[Node], inputs: list[Node], name: str) -> ov.Model:
    make: Any = ov.Model
    return make([op.result(output) for output in outputs], inputs, name)
