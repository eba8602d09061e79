"""What files hold is counted without loading them."""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

import tiny
from tertulia.catalog.tensors import Held, count, read


def test_safetensors_are_counted_by_their_header(tmp_path: Path) -> None:
    for name, tied in (("smollm2", True), ("llama3.1", False)):
        tiny.write(name, tmp_path / name)
        matrices = {key: tensor.size for key, tensor in tiny.tensors(name).items() if tensor.ndim == 2}
        table = matrices.pop("model.embed_tokens.weight")
        held = read([tmp_path / name / "model.safetensors"])
        assert held.multiplied == {"F32": sum(matrices.values()) + (table if tied else 0)}
        assert held.looked_up == ({} if tied else {"F32": table})


def test_a_gguf_file_is_counted_by_encoding(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((10, 34), np.uint8), raw_dtype=Kind.Q8_0)
    writer.add_tensor("blk.0.attn_output.weight", np.zeros((4, 36), np.uint8), raw_dtype=Kind.Q4_0)
    writer.add_tensor("output.weight", np.zeros((10, 34), np.uint8), raw_dtype=Kind.Q8_0)
    writer.add_tensor("output_norm.weight", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read([tmp_path / "model.gguf"]) == Held({"Q4_0": 256, "Q8_0": 320}, {"Q8_0": 320})


def test_an_output_within_a_layer_is_no_head() -> None:
    assert count([("token_embd.weight", "Q8_0", (2, 3)), ("blk.0.attn_output.weight", "Q8_0", (3, 3))]).looked_up == {}


def test_what_sees_is_counted_apart_and_whole() -> None:
    found = count([("visual.patch.weight", "BF16", (2, 3, 4, 4)), ("visual.norm", "BF16", (5,)), ("x", "BF16", (2, 2))])
    assert (found.multiplied, found.seeing) == ({"BF16": 4}, 101)


def test_what_is_no_model_holds_nothing(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.safetensors"):
        assert read([tmp_path / name]) == Held()
        (tmp_path / name).write_bytes(b"\xff" * 100)
        assert read([tmp_path / name]) == Held()
    assert read([]) == Held()
