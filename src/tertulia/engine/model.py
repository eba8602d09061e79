"""A language model as an OpenVINO graph over paged attention, and the pool of keys and values that it reads and writes.

The graph is built from tensors with public operations; the only private name is ``_PagedAttentionExtension``, in
:func:`_attention`. openvino is pinned for its sake: ``tests/engine/test_model.py`` says what to do when it moves.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.op import _PagedAttentionExtension  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownVariableType]

from tertulia.engine import nodes
from tertulia.engine.attic import attic
from tertulia.engine.batch import BLOCK, FEW, Batch, accompany, fill, pieces
from tertulia.engine.checkpoint import Checkpoint, Shape
from tertulia.engine.nodes import Node, entry, finish, linear, matrix, norm, op, present, reshape, transpose, turn
from tertulia.engine.weights import Codes, Weight, stack


class Model:
    """A compiled model with its KV pool. One pass at a time.

    ``kv`` bounds the pool in bytes. Without ``rounding`` keys, values and activations stay in float32: slower, and as
    near to the file's weights as can be. With ``exact`` a token alone in a pass is computed as in company, where that
    makes a difference: at a price. With a folder ``aside`` most of what the first pass doesn't need again is put into
    files there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        kv: int,
        threads: int = 0,
        rounding: bool = True,
        exact: bool = False,
        aside: Path | None = None,
    ) -> None:
        self.shape = checkpoint.shape
        exactly = {} if rounding else {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "KV_CACHE_PRECISION": "f32"}
        compiled = nodes.compiled(_graph(checkpoint, attic(aside)), threads, **exactly)
        self._threads: int = compiled.get_property("INFERENCE_NUM_THREADS")
        self._request = compiled.create_infer_request()
        self._inputs: dict[str, NDArray[Any]] = {}
        self._none = None if checkpoint.vision is None else np.zeros((0, self.shape.hidden), np.float32)
        self._exact = exact
        self._one, self._many = _orders(threads, **exactly)
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
            ("position_ids", self._positions(batch)),
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

    def _positions(self, batch: Batch) -> NDArray[np.int64]:
        """One for each token, or three; text is at the same place in all of them."""
        single = batch.positions.ndim == 1
        found = np.tile(batch.positions, (3, 1)) if single and self.shape.sections else batch.positions
        return np.ascontiguousarray(found)


def _orders(threads: int, **exactly: Any) -> tuple[bool, bool]:
    """Whether this CPU's kernels add up one row, and more rows than ``FEW``, in the order of a few rows: measured.

    With AVX-512 they do. With AVX2 they take a row alone four columns at a time, and from 65 or 81 rows on 512 columns
    at a time.
    """
    random = np.random.default_rng(0)
    columns = 1024
    codes = random.integers(0, 256, (BLOCK, columns // BLOCK, BLOCK), np.uint8)
    each = (BLOCK, columns // BLOCK, 1)
    coded = Codes(codes, np.full(each, 128, np.uint8), random.random(each, np.float32))
    x = entry([-1, columns], ov.Type.f32, "x")
    results = [op.swish(linear(x, value)) for value in (coded, coded.floats())]
    request = nodes.compiled(finish(results, [x], "orders"), threads, **exactly).create_infer_request()
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


def _graph(checkpoint: Checkpoint, put: Callable[[Weight], Weight]) -> ov.Model:
    """The graph of a llama or qwen2 model: they differ by a bias on q, k and v, which is there or not."""
    shape, weight = checkpoint.shape, checkpoint.weight
    tokens = entry([-1], ov.Type.i64, "input_ids")
    positions = entry([3, -1] if shape.sections else [-1], ov.Type.i64, "position_ids")
    paging = [
        entry([-1], ov.Type.i32, name)
        for name in ("past_lens", "subsequence_begins", "block_indices", "block_indices_begins")
    ]
    longest = entry([], ov.Type.i32, "max_context_len")
    sampled = entry([-1], ov.Type.i64, "sampled_tokens_indices")
    caches: list[Node] = []
    table = put(present(weight("embed"), "embed"))
    embed = matrix(table)
    rotary = _rotary(positions, shape)
    hidden = op.gather(embed, tokens, op.constant(0, ov.Type.i32))
    pictures: list[Node] = []
    if checkpoint.vision is not None:
        pictures = [entry([-1], ov.Type.i64, "places"), entry([-1, shape.hidden], ov.Type.f32, "seen")]
        hidden = op.scatter_update(hidden, *pictures, op.constant(0, ov.Type.i32))
    for layer in range(shape.layers):

        def part(name: str, layer: int = layer) -> Weight:
            return put(present(weight(f"{layer}.{name}"), f"{layer}.{name}"))

        normed = norm(hidden, part("attention_norm"), shape.eps)
        query, key, value = _projections(normed, weight, put, layer)
        pair = [entry([-1, -1, -1, -1], ov.Type.dynamic, f"{name}_cache.{layer}") for name in ("key", "value")]
        caches += pair
        query, key = _rotate(query, rotary, shape.heads, shape), _rotate(key, rotary, shape.kv_heads, shape)
        attended = _attention([query, key, value, *pair, *paging], longest, shape)
        hidden = op.add(hidden, linear(attended, part("o")))
        normed = norm(hidden, part("mlp_norm"), shape.eps)
        gated = op.multiply(op.swish(linear(normed, part("gate"))), linear(normed, part("up")))
        hidden = op.add(hidden, linear(gated, part("down")))
    rows = op.gather(hidden, sampled, op.constant(0, ov.Type.i32))
    rows = norm(rows, present(weight("norm"), "norm"), shape.eps)
    head = None if shape.tied else weight("head")
    logits = op.matmul(rows, embed if head is None else matrix(put(head)), False, True)
    logits.output(0).set_names({"logits"})
    parameters = [tokens, positions, *paging, longest, sampled, *pictures, *caches]
    return finish([logits], parameters, checkpoint.shape.family)


FLOAT_QUERIES = 2
"""The layers, from the first, whose queries are multiplied in float32. The plugin rounds activations to eight bits
wherever weights are codes, and what is wrong early is wrong in all that follows. Costs half a percent."""


def _projections(
    x: Node, weight: Callable[[str], Weight | None], put: Callable[[Weight], Weight], layer: int
) -> list[Node]:
    """Query, key and value: one multiplication for all whose codes are of one kind."""
    weights = [present(weight(f"{layer}.{name}"), f"{layer}.{name}") for name in "qkv"]
    biases = [weight(f"{layer}.{name}.bias") for name in "qkv"]
    if layer < FLOAT_QUERIES and isinstance(weights[0], Codes):
        weights[0] = weights[0].floats()
    coded = [each for each in weights if isinstance(each, Codes)]
    whole = stack(coded)
    if whole is None:
        return [linear(x, put(each), bias) for each, bias in zip(weights, biases, strict=True)]
    first = len(weights) - len(coded)
    apart = [linear(x, put(each), bias) for each, bias in zip(weights[:first], biases[:first], strict=True)]
    added = [bias for bias in biases[first:] if isinstance(bias, np.ndarray)]
    y = linear(x, put(whole), np.concatenate(added) if added else None)
    ends = np.cumsum([0, *(each.shape[0] for each in coded)])
    return apart + [_columns(y, begin, end) for begin, end in pairwise(ends)]


def _columns(x: Node, begin: int, end: int) -> Node:
    bounds = [op.constant(np.array([bound], np.int64)) for bound in (begin, end, 1, 1)]
    return op.slice(x, *bounds)


def _rotary(positions: Node, shape: Shape) -> tuple[Node, Node]:
    """Cosine and sine [tokens, 1, 1, head size] of the rotary embedding (Su et al. 2021), halves side by side."""
    half = np.arange(0, shape.head_size, 2, dtype=np.float32) / shape.head_size
    frequencies = (1.0 / shape.rope_theta ** half.astype(np.float64)).astype(np.float32)
    if shape.rope_factors is not None:
        frequencies = frequencies / shape.rope_factors
    places = op.convert(positions, "f32")
    if shape.sections:
        which = np.repeat(np.arange(len(shape.sections)) % 3, shape.sections)
        column = transpose(op.gather(places, op.constant(which), op.constant(0, ov.Type.i32)), 1, 0)
    else:
        column = reshape(places, -1, 1)
    angles = op.multiply(column, op.constant(frequencies[None, :]))
    both = op.concat([angles, angles], -1)
    return reshape(op.cos(both), -1, 1, 1, shape.head_size), reshape(op.sin(both), -1, 1, 1, shape.head_size)


def _rotate(x: Node, rotary: tuple[Node, Node], heads: int, shape: Shape) -> Node:
    size = shape.head_size
    return reshape(turn(reshape(x, -1, heads, 1, size), *rotary, size), -1, heads * size)


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
