"""The constants of graphs, with weights that are gone when the graph is used."""

import gc
import subprocess
import sys

import numpy as np
import openvino as ov
import pytest

from tertulia.engine.nodes import core, entry, finish, linear
from tertulia.engine.weights import Codes

ROWS, GROUPS, SIZE = 256, 8, 32


def coded(bits: int) -> Codes:
    random = np.random.default_rng(0)
    codes = random.integers(0, 1 << bits, (ROWS, GROUPS, SIZE), np.uint8)
    zero = random.integers(0, 1 << bits, (ROWS, GROUPS, 1), np.uint8)
    return Codes(codes, zero, random.random((ROWS, GROUPS, 1), np.float32), bits)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_graph_keeps_its_weights(bits: int) -> None:
    """With bits 4 they once lay in memory that had been given back: garbage, or the end of the process."""
    x = entry([-1, GROUPS * SIZE], ov.Type.f32, "x")
    graph = finish([linear(x, coded(bits))], [x], "graph")
    gc.collect()
    others = [np.full(ROWS * GROUPS * SIZE // 2, 255, np.uint8) for _ in range(20)]
    rows = np.random.default_rng(1).standard_normal((3, GROUPS * SIZE), np.float32)
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    (found,) = core().compile_model(graph, "CPU", options)({"x": rows}).values()
    assert np.abs(found - rows @ coded(bits).floats().T).max() < 1e-2
    assert len(others) == 20


_LET_GO = """
import os, signal, threading
import openvino as ov
from tertulia.engine.nodes import core, entry, finish, op
x = entry([-1, 4], ov.Type.f32, "x")
graphs = [core().compile_model(finish([op.relu(x)], [x], "graph"), "CPU", {})]
thread = threading.Thread(target=graphs.clear)
thread.start()
thread.join()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_is_survived_when_a_graph_was_let_go_by_another_thread():
    done = subprocess.run([sys.executable, "-c", _LET_GO], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "handled\n")
