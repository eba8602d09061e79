"""What graphs are made of: OpenVINO's public operations, with our weights in them."""

from functools import cache
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13

from tertulia.engine.weights import Codes, Weight
from tertulia.errors import StoreError

Node = Any
op: Any = opset13
"""openvino's types say little: what nodes are made of is unknown to the type checker from here on."""


@cache
def core() -> ov.Core:
    """OpenVINO, one for the whole process. Its CPU plugin gives the thread that first needs it a stack for signals, and
    takes that away in whatever thread lets it go: the next signal would be the process's end."""
    return ov.Core()


def compiled(graph: ov.Model, threads: int = 0, **more: Any) -> Any:
    """A graph, ready to be run by ``threads`` threads (0: all cores); ``more`` are further options of the plugin."""
    options = {
        "INFERENCE_PRECISION_HINT": "f32",  # bf16, the default, puts logits on a grid of 1/8
        "ENABLE_CPU_PINNING": False,  # pinned threads share a core with any busy neighbour
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    return core().compile_model(graph, "CPU", options | more)


def entry(shape: list[int], kind: ov.Type, name: str) -> Node:
    """An input; -1 is a length that isn't known beforehand."""
    node = op.parameter(ov.PartialShape(shape), kind, name=name)
    node.output(0).set_names({name})
    return node


def finish(outputs: list[Node], inputs: list[Node], name: str) -> ov.Model:
    """The graph between some inputs and outputs."""
    make: Any = ov.Model  # its two declarations contradict each other
    return make([op.result(output) for output in outputs], inputs, name)


def present(value: Weight | None, name: str) -> Weight:
    """A weight that has to be there. Raises StoreError."""
    if value is None:
        raise StoreError(f"the model's weights lack the tensor '{name}'")
    return value


def matrix(value: Weight) -> Node:
    """A constant [rows, columns], decompressed by the plugin as it multiplies."""
    if not isinstance(value, Codes):
        return _constant(value)
    codes, zero = (_constant(array, value.bits) for array in (value.codes, value.zero))
    floats = op.subtract(op.convert(codes, "f32"), op.convert(zero, "f32"))
    scaled = op.multiply(floats, _constant(value.scale))
    return reshape(scaled, *value.shape)


def _constant(array: NDArray[Any], bits: int = 8) -> Node:
    if bits == 8:
        return op.constant(array, shared_memory=isinstance(array, np.memmap))
    flat = array.reshape(-1)
    packed = flat[0::2] | (flat[1::2] << 4)
    tensor = ov.Tensor(packed, ov.Shape(list(array.shape)), ov.Type.u4)
    return op.constant(tensor, shared_memory=False)  # shared, it would be read after ``packed`` is gone


def linear(x: Node, value: Weight, bias: Weight | None = None) -> Node:
    y = op.matmul(x, matrix(value), False, True)
    return y if bias is None else op.add(y, op.constant(bias))


def norm(x: Node, weight: Weight, eps: float) -> Node:
    """Root-mean-square normalisation over the last axis, in the shape that the plugin fuses into one operation."""
    power = op.power(x, op.constant(np.float32(2)))
    mean = op.reduce_mean(power, op.constant(np.array([-1], np.int64)), True)
    root = op.sqrt(op.add(mean, op.constant(np.float32(eps))))
    normed = op.multiply(x, op.divide(op.constant(np.float32(1)), root))
    return op.multiply(normed, op.constant(weight))


def reshape(x: Node, *shape: int) -> Node:
    """``x`` in another shape; -1 is what is left."""
    return op.reshape(x, op.constant(np.array(shape, np.int64)), False)


def transpose(x: Node, *order: int) -> Node:
    return op.transpose(x, op.constant(np.array(order, np.int64)))


def turn(x: Node, cosine: Node, sine: Node, size: int) -> Node:
    """The rotary embedding (Su et al. 2021) over the last of four axes, halves side by side."""

    def half(begin: int, end: int) -> Node:
        bounds = [op.constant(np.array([value], np.int64)) for value in (begin, end, 1, 3)]
        return op.slice(x, *bounds)

    turned = op.concat([op.negative(half(size // 2, np.iinfo(np.int64).max)), half(0, size // 2)], -1)
    return op.add(op.multiply(x, cosine), op.multiply(turned, sine))
