"""Model files for OpenVINO GenAI, made of the very weights that Tertulia computes with.

GenAI reads a stateful graph with ScaledDotProductAttention, as optimum-intel exports it, and turns it into paged
attention itself. This writes such a graph from a model's folder: codes, zero points and scales are Tertulia's own. It
serves that transformation only: the attention mask, which it drops, is a constant here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset6, opset13
from openvino import opset13 as op

from tertulia.engine import nodes
from tertulia.engine.checkpoint import Shape, open_checkpoint

Node = Any


def write(folder: Path, target: Path) -> None:
    """Write ``openvino_model.xml`` and ``.bin`` for the model in ``folder`` to ``target``: anew each time, so that they
    never lag behind what Tertulia makes of the same file."""
    target.mkdir(parents=True, exist_ok=True)
    checkpoint = open_checkpoint(folder)
    ov.save_model(_graph(checkpoint), target / "openvino_model.xml", compress_to_fp16=False)


def _graph(checkpoint: Any) -> ov.Model:
    shape, weight = checkpoint.shape, checkpoint.weight
    ids, mask, positions = (
        _input([-1, -1], ov.Type.i64, name) for name in ("input_ids", "attention_mask", "position_ids")
    )
    beams = _input([-1], ov.Type.i32, "beam_idx")
    embed = nodes.matrix(weight("embed"))
    hidden = op.gather(embed, ids, op.constant(0, ov.Type.i32))
    rotary = _rotary(positions, shape)
    sinks: list[Node] = []
    for layer in range(shape.layers):

        def linear(x: Node, name: str, layer: int = layer) -> Node:
            return nodes.linear(x, weight(f"{layer}.{name}"), weight(f"{layer}.{name}.bias"))

        normed = nodes.norm(hidden, weight(f"{layer}.attention_norm"), shape.eps)
        query = _rotate(_heads(linear(normed, "q"), shape.heads, shape), rotary, shape)
        key = _rotate(_heads(linear(normed, "k"), shape.kv_heads, shape), rotary, shape)
        value = _heads(linear(normed, "v"), shape.kv_heads, shape)
        key, key_sink = _state(f"past_key_values.{layer}.keypresent.{layer}.key", key, ids, beams, shape)
        value, value_sink = _state(f"past_key_values.{layer}.valuepresent.{layer}.value", value, ids, beams, shape)
        sinks += [key_sink, value_sink]
        hidden = op.add(hidden, linear(_attention(query, key, value, shape), "o"))
        normed = nodes.norm(hidden, weight(f"{layer}.mlp_norm"), shape.eps)
        gated = op.multiply(op.swish(linear(normed, "gate")), linear(normed, "up"))
        hidden = op.add(hidden, linear(gated, "down"))
    rows = nodes.norm(hidden, weight("norm"), shape.eps)
    head = None if shape.tied else weight("head")
    logits = op.matmul(rows, embed if head is None else nodes.matrix(head), False, True)
    logits.output(0).set_names({"logits"})
    return ov.Model([op.result(logits)], sinks, [ids, mask, positions, beams], shape.family)


def _input(shape: list[int], kind: ov.Type, name: str) -> Node:
    node = op.parameter(ov.PartialShape(shape), kind, name=name)
    node.output(0).set_names({name})
    return node


def _ints(*values: int) -> Node:
    return op.constant(np.array(values, np.int64))


def _heads(x: Node, heads: int, shape: Shape) -> Node:
    """[batch, tokens, heads * size] to [batch, heads, tokens, size]."""
    return op.transpose(op.reshape(x, _ints(0, 0, heads, shape.head_size), True), _ints(0, 2, 1, 3))


def _rotary(positions: Node, shape: Shape) -> tuple[Node, Node]:
    """Cosine and sine [batch, 1, tokens, head size], in the operations of transformers' own module."""
    half = np.arange(0, shape.head_size, 2, dtype=np.float64) / shape.head_size
    frequencies = (1.0 / shape.rope_theta**half).astype(np.float32)
    if shape.rope_factors is not None:
        frequencies = frequencies / shape.rope_factors
    row = op.convert(op.unsqueeze(positions, _ints(1)), "f32")
    angles = op.transpose(op.matmul(op.constant(frequencies[None, :, None]), row, False, False), _ints(0, 2, 1))
    both = op.concat([angles, angles], -1)
    return op.unsqueeze(op.cos(both), _ints(1)), op.unsqueeze(op.sin(both), _ints(1))


def _rotate(x: Node, rotary: tuple[Node, Node], shape: Shape) -> Node:
    middle, end = shape.head_size // 2, np.iinfo(np.int64).max
    upper = op.slice(x, _ints(middle), _ints(end), _ints(1), _ints(3))
    lower = op.slice(x, _ints(0), _ints(middle), _ints(1), _ints(3))
    turned = op.concat([op.multiply(upper, op.constant(np.float32([[[[-1]]]]))), lower], -1)
    return op.add(op.multiply(x, rotary[0]), op.multiply(turned, rotary[1]))


def _state(name: str, new: Node, ids: Node, beams: Node, shape: Shape) -> tuple[Node, Node]:
    """What was before with ``new`` behind it, and the node that keeps both."""
    batch = op.gather(op.shape_of(ids), _ints(0), op.constant(0, ov.Type.i32))
    empty = op.broadcast(op.constant(np.float32(0)), op.concat([batch, _ints(shape.kv_heads, 0, shape.head_size)], 0))
    past = opset6.read_value(empty, name, ov.Type.f32, ov.PartialShape([-1, shape.kv_heads, -1, shape.head_size]))
    whole = op.concat([op.gather(past, beams, op.constant(0, ov.Type.i32)), new], 2)
    return whole, opset6.assign(whole, name)


def _attention(query: Node, key: Node, value: Node, shape: Shape) -> Node:
    key, value = (_repeat(x, shape) for x in (key, value))
    mask = op.broadcast(op.constant(np.float32(0)), _ints(1, 1, 1, 1))
    attended = opset13.scaled_dot_product_attention(query, key, value, mask)
    return op.reshape(op.transpose(attended, _ints(0, 2, 1, 3)), _ints(0, 0, shape.heads * shape.head_size), True)


def _repeat(x: Node, shape: Shape) -> Node:
    """Each key and value head for all the query heads that share it."""
    times = shape.heads // shape.kv_heads
    if times == 1:
        return x
    sizes = op.shape_of(x)
    ends = [op.gather(sizes, _ints(*places), op.constant(0, ov.Type.i32)) for places in ((0, 1), (2, 3))]
    spread = op.broadcast(op.unsqueeze(x, _ints(2)), op.concat([ends[0], _ints(times), ends[1]], 0), "BIDIRECTIONAL")
    return op.reshape(spread, _ints(0, shape.heads, -1, shape.head_size), True)
