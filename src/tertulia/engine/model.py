"""A language model as an OpenVINO graph over paged attention, and the pool of keys and values that it reads and writes.

The graph is built from tensors with public operations; the only private name is ``_PagedAttentionExtension``, in
:func:`_attention`. openvino is pinned for its sake: ``tests/engine/test_model.py`` says what to do when it moves.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13
from openvino.op import _PagedAttentionExtension  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownVariableType]

from tertulia.engine.batch import BLOCK, FEW, Batch, accompany, fill, pieces
from tertulia.engine.checkpoint import Checkpoint, Shape
from tertulia.engine.weights import Codes, Weight, stack
from tertulia.errors import StoreError

Node = Any
op: Any = opset13
"""openvino's types say little: what nodes are made of is unknown to the type checker from here on."""


class Model:
    """A compiled model with its KV pool. One pass at a time.

    ``kv`` bounds the pool in bytes. Without ``rounding`` keys, values and activations stay in float32: slower, and as
    near to the file's weights as can be. With ``exact`` a token alone in a pass is computed as in company, where that
    makes a difference: at a price.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, kv: int, threads: int = 0, rounding: bool = True, exact: bool = False
    ) -> None:
        self.shape = checkpoint.shape
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",  # bf16, the default, puts logits on a grid of 1/8
            "ENABLE_CPU_PINNING": False,  # pinned threads share a core with any busy neighbour
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        if not rounding:
            options |= {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "KV_CACHE_PRECISION": "f32"}
        compiled = ov.Core().compile_model(_graph(checkpoint), "CPU", options)
        self._threads: int = compiled.get_property("INFERENCE_NUM_THREADS")
        self._request = compiled.create_infer_request()
        self._inputs: dict[str, NDArray[Any]] = {}
        self._none = None if checkpoint.vision is None else np.zeros((0, self.shape.hidden), np.float32)
        self._exact = exact
        self._one, self._many = _orders(options)
        self._caches = _allocate(compiled, self._request, kv)
        self.blocks = self._caches[0].shape[0] - 1
        self.block_bytes = sum(cache.byte_size for cache in self._caches) // (self.blocks + 1)

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """The logits [sampled rows, vocabulary] of one pass. They are overwritten by the next. Blocks, without the
        GIL."""
        company = not self._one and (self._exact or len(batch.tokens) > 1)
        if self._many or len(batch.tokens) <= FEW:
            return self._compute(batch, company)
        return np.concatenate([self._compute(piece, company).copy() for piece in pieces(batch)])

    def _compute(self, batch: Batch, company: bool) -> NDArray[np.float32]:
        wanted = len(batch.sampled)
        if company:
            batch = accompany(batch, self.blocks)
        if len(batch.past) < self._threads:
            batch = fill(batch, self._threads)
        inputs: list[tuple[str, NDArray[Any]]] = [
            ("input_ids", batch.tokens),
            ("position_ids", batch.positions),
            ("past_lens", batch.past),
            ("subsequence_begins", batch.begins),
            ("block_indices", batch.blocks),
            ("block_indices_begins", batch.block_begins),
            ("sampled_tokens_indices", batch.sampled),
            ("max_context_len", np.array(batch.longest, np.int32)),
        ]
        if self._none is not None:
            inputs += [("places", batch.places), ("seen", self._none if batch.seen is None else batch.seen)]
        for name, array in inputs:
            held = self._inputs.get(name)
            if held is not None and held.shape == array.shape:
                held[...] = array
            else:
                self._inputs[name] = array
                self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        self._request.infer()
        return self._request.get_output_tensor(0).data[:wanted]


def _orders(options: dict[str, Any]) -> tuple[bool, bool]:
    """Whether this CPU's kernels add up one row, and more rows than ``FEW``, in the order of a few rows: measured.

    With AVX-512 they do. With AVX2 they take a row alone four columns at a time, and from 65 or 81 rows on 512 columns
    at a time.
    """
    random = np.random.default_rng(0)
    columns = 1024
    codes = random.integers(0, 256, (BLOCK, columns // BLOCK, BLOCK), np.uint8)
    each = (BLOCK, columns // BLOCK, 1)
    matrix = Codes(codes, np.full(each, 128, np.uint8), random.random(each, np.float32))
    x = _input([-1, columns], ov.Type.f32, "x")
    results = [op.result(op.swish(_linear(x, value))) for value in (matrix, matrix.floats())]
    make: Any = ov.Model
    request = ov.Core().compile_model(make(results, [x], "orders"), "CPU", options).create_infer_request()
    rows = random.standard_normal((8 * FEW, columns), np.float32)

    def first(count: int) -> list[NDArray[np.float32]]:
        request.infer({"x": rows[:count]})
        return [request.get_output_tensor(index).data[0].copy() for index in range(len(results))]

    few = first(FEW)
    one, many = (all(map(np.array_equal, first(count), few)) for count in (1, len(rows)))
    return one, many


def _allocate(compiled: Any, request: Any, kv: int) -> list[Any]:
    """Give the compiled model its caches; shape and type are its own choice, the number of blocks ours. One more than
    ``kv`` is for: that is for tokens that only keep another company."""
    ports = [port for port in compiled.inputs if "_cache." in port.get_any_name()]
    sizes = [port.get_partial_shape()[1:].to_shape() for port in ports]
    types = [port.get_element_type() for port in ports]
    a_block = sum(int(np.prod(list(size))) * kind.size for size, kind in zip(sizes, types, strict=True))
    count = max(kv // a_block, 2)
    caches = [ov.Tensor(kind, [count + 1, *size]) for size, kind in zip(sizes, types, strict=True)]
    for port, cache in zip(ports, caches, strict=True):
        request.set_tensor(port.get_any_name(), cache)
    return caches


# ---------------------------------------------------------------- the graph


def _graph(checkpoint: Checkpoint) -> ov.Model:
    """The graph of a llama or qwen2 model: they differ by a bias on q, k and v, which is there or not."""
    shape, weight = checkpoint.shape, checkpoint.weight
    tokens = _input([-1], ov.Type.i64, "input_ids")
    positions = _input([-1], ov.Type.i64, "position_ids")
    paging = [
        _input([-1], ov.Type.i32, name)
        for name in ("past_lens", "subsequence_begins", "block_indices", "block_indices_begins")
    ]
    longest = _input([], ov.Type.i32, "max_context_len")
    sampled = _input([-1], ov.Type.i64, "sampled_tokens_indices")
    caches: list[Node] = []
    table = _present(weight("embed"), "embed")
    embed = _matrix(table)
    rotary = _rotary(positions, shape)
    hidden = op.gather(embed, tokens, op.constant(0, ov.Type.i32))
    pictures: list[Node] = []
    if checkpoint.vision is not None:
        pictures = [_input([-1], ov.Type.i64, "places"), _input([-1, shape.hidden], ov.Type.f32, "seen")]
        hidden = op.scatter_update(hidden, *pictures, op.constant(0, ov.Type.i32))
    for layer in range(shape.layers):

        def part(name: str, layer: int = layer) -> Weight:
            return _present(weight(f"{layer}.{name}"), f"{layer}.{name}")

        normed = _norm(hidden, part("attention_norm"), shape.eps)
        query, key, value = _projections(normed, weight, layer)
        pair = [_input([-1, -1, -1, -1], ov.Type.dynamic, f"{name}_cache.{layer}") for name in ("key", "value")]
        caches += pair
        query, key = _rotate(query, rotary, shape.heads, shape), _rotate(key, rotary, shape.kv_heads, shape)
        attended = _attention([query, key, value, *pair, *paging], longest, shape)
        hidden = op.add(hidden, _linear(attended, part("o")))
        normed = _norm(hidden, part("mlp_norm"), shape.eps)
        gated = op.multiply(op.swish(_linear(normed, part("gate"))), _linear(normed, part("up")))
        hidden = op.add(hidden, _linear(gated, part("down")))
    rows = op.gather(hidden, sampled, op.constant(0, ov.Type.i32))
    rows = _norm(rows, _present(weight("norm"), "norm"), shape.eps)
    head = None if shape.tied else weight("head")
    logits = op.matmul(rows, embed if head is None else _matrix(head), False, True)
    logits.output(0).set_names({"logits"})
    parameters = [tokens, positions, *paging, longest, sampled, *pictures, *caches]
    make: Any = ov.Model  # its two declarations contradict each other
    return make([op.result(logits)], parameters, checkpoint.shape.family)


def _input(shape: list[int], kind: ov.Type, name: str) -> Node:
    node = op.parameter(ov.PartialShape(shape), kind, name=name)
    node.output(0).set_names({name})
    return node


def _present(value: Weight | None, name: str) -> Weight:
    if value is None:
        raise StoreError(f"the model's weights lack the tensor '{name}'")
    return value


def _matrix(value: Weight) -> Node:
    """A constant [rows, columns], decompressed by the plugin as it multiplies."""
    if not isinstance(value, Codes):
        return op.constant(value)
    codes, zero = (_constant(array, value.bits) for array in (value.codes, value.zero))
    floats = op.subtract(op.convert(codes, "f32"), op.convert(zero, "f32"))
    scaled = op.multiply(floats, op.constant(value.scale))
    return op.reshape(scaled, op.constant(np.array(value.shape, np.int64)), False)


def _constant(array: NDArray[np.uint8], bits: int) -> Node:
    if bits == 8:
        return op.constant(array)
    flat = array.reshape(-1)
    packed = flat[0::2] | (flat[1::2] << 4)
    return op.constant(ov.Tensor(packed, ov.Shape(list(array.shape)), ov.Type.u4))


def _linear(x: Node, value: Weight, bias: Weight | None = None) -> Node:
    y = op.matmul(x, _matrix(value), False, True)
    return y if bias is None else op.add(y, op.constant(bias))


FLOAT_QUERIES = 2
"""The layers, from the first, whose queries are multiplied in float32. The plugin rounds activations to eight bits
wherever weights are codes, and what is wrong early is wrong in all that follows. Costs half a percent."""


def _projections(x: Node, weight: Callable[[str], Weight | None], layer: int) -> list[Node]:
    """Query, key and value: one multiplication for all whose codes are of one kind."""
    weights = [_present(weight(f"{layer}.{name}"), f"{layer}.{name}") for name in "qkv"]
    biases = [weight(f"{layer}.{name}.bias") for name in "qkv"]
    if layer < FLOAT_QUERIES and isinstance(weights[0], Codes):
        weights[0] = weights[0].floats()
    coded = [matrix for matrix in weights if isinstance(matrix, Codes)]
    whole = stack(coded)
    if whole is None:
        return [_linear(x, matrix, bias) for matrix, bias in zip(weights, biases, strict=True)]
    first = len(weights) - len(coded)
    apart = [_linear(x, matrix, bias) for matrix, bias in zip(weights[:first], biases[:first], strict=True)]
    added = [bias for bias in biases[first:] if isinstance(bias, np.ndarray)]
    y = _linear(x, whole, np.concatenate(added) if added else None)
    ends = np.cumsum([0, *(matrix.shape[0] for matrix in coded)])
    return apart + [_columns(y, begin, end) for begin, end in pairwise(ends)]


def _columns(x: Node, begin: int, end: int) -> Node:
    bounds = [op.constant(np.array([bound], np.int64)) for bound in (begin, end, 1, 1)]
    return op.slice(x, *bounds)


def _norm(x: Node, weight: Weight, eps: float) -> Node:
    """Root-mean-square normalisation over the last axis, in the shape that the plugin fuses into one operation."""
    power = op.power(x, op.constant(np.float32(2)))
    mean = op.reduce_mean(power, op.constant(np.array([-1], np.int64)), True)
    root = op.sqrt(op.add(mean, op.constant(np.float32(eps))))
    normed = op.multiply(x, op.divide(op.constant(np.float32(1)), root))
    return op.multiply(normed, op.constant(weight))


def _rotary(positions: Node, shape: Shape) -> tuple[Node, Node]:
    """Cosine and sine [tokens, 1, 1, head size] of the rotary embedding (Su et al. 2021), halves side by side."""
    half = np.arange(0, shape.head_size, 2, dtype=np.float32) / shape.head_size
    frequencies = (1.0 / shape.rope_theta ** half.astype(np.float64)).astype(np.float32)
    if shape.rope_factors is not None:
        frequencies = frequencies / shape.rope_factors
    column = op.reshape(op.convert(positions, "f32"), op.constant(np.array([-1, 1], np.int64)), False)
    angles = op.multiply(column, op.constant(frequencies[None, :]))
    both = op.concat([angles, angles], -1)
    spread = op.constant(np.array([-1, 1, 1, shape.head_size], np.int64))
    return op.reshape(op.cos(both), spread, False), op.reshape(op.sin(both), spread, False)


def _rotate(x: Node, rotary: tuple[Node, Node], heads: int, shape: Shape) -> Node:
    cosine, sine = rotary
    size = shape.head_size
    split = op.reshape(x, op.constant(np.array([-1, heads, 1, size], np.int64)), False)

    def half(begin: int, end: int) -> Node:
        bounds = [op.constant(np.array([value], np.int64)) for value in (begin, end, 1, 3)]
        return op.slice(split, *bounds)

    turned = op.concat([op.negative(half(size // 2, np.iinfo(np.int64).max)), half(0, size // 2)], -1)
    mixed = op.add(op.multiply(split, cosine), op.multiply(turned, sine))
    return op.reshape(mixed, op.constant(np.array([-1, heads * size], np.int64)), False)


def _attention(inputs: list[Node], longest: Node, shape: Shape) -> Node:
    """Paged attention (Kwon et al. 2023) over [tokens, heads * size]; the inputs past the context length are for
    features that are not used here."""

    def empty(kind: type) -> Node:
        return op.constant(np.zeros(0, kind))

    def zero() -> Node:
        return op.constant(np.int32(0))

    scale = op.constant(np.float32(shape.head_size**-0.5))
    unused = [empty(np.int32), empty(np.int32), empty(np.int32), empty(np.float32), empty(np.float32), zero(), zero()]
    sinks = op.constant(np.zeros((0, 0, 0, 0), np.float32))
    tail = [zero(), *(empty(np.int32) for _ in range(4)), empty(np.uint8), empty(np.int32)]
    arguments = [*inputs, scale, zero(), empty(np.float32), longest, *unused, sinks, *tail]
    make = cast("Any", _PagedAttentionExtension)
    node: Node = make([item.output(0) for item in arguments])
    info = node.get_rt_info()
    info["num_k_heads"] = info["num_v_heads"] = shape.kv_heads
    info["k_head_size"] = info["v_head_size"] = shape.head_size
    return node.output(0)
