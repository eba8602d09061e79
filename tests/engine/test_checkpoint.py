"""The two formats lead to the same model, and what can't be read is refused in words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tiny
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.model import Model
from tertulia.engine.weights import Codes
from tertulia.errors import StoreError

FAMILIES = Path(__file__).parents[1] / "data" / "families"


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_a_gguf_file_gives_the_logits_of_transformers(
    name: str, packed: Callable[..., Path], feed: Callable[..., np.ndarray]
) -> None:
    data = json.loads((FAMILIES / f"{name}.json").read_text())
    made = Model(open_checkpoint(packed(name)), kv=1 << 20, threads=2, rounding=False)
    for index, run in enumerate(data["runs"]):
        found = feed(made, [(data["input_ids"], 0, range(3))], rows=run["rows"], positions=run["position_ids"])
        assert np.abs(found - np.array(run["logits"])).max() < (1e-3 if index == 0 else 0.02)


@pytest.mark.parametrize("name", ["smollm2", "qwen2.5"])
def test_a_quantised_gguf_file_stays_near_float32(
    name: str, packed: Callable[..., Path], feed: Callable[..., np.ndarray]
) -> None:
    data = json.loads((FAMILIES / f"{name}.json").read_text())
    opened = open_checkpoint(packed(name, "Q8_0"))
    assert opened.quantisation == "Q8_0"
    found = feed(Model(opened, kv=1 << 20, threads=2), [(data["input_ids"], 0, range(3))], rows=range(80))
    for row, expected in zip(data["runs"][0]["rows"], data["runs"][0]["logits"], strict=True):
        assert np.corrcoef(found[row], expected)[0, 1] > 0.99


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_both_formats_say_the_same_of_a_model(
    name: str, folder: Callable[[str], Path], packed: Callable[..., Path]
) -> None:
    from dataclasses import asdict

    ours, theirs = open_checkpoint(folder(name)), open_checkpoint(packed(name))
    one, other = asdict(ours.shape), asdict(theirs.shape)
    factors = one.pop("rope_factors"), other.pop("rope_factors")
    assert one.pop("sections") == other.pop("sections") == ()
    assert other == pytest.approx(one)
    assert (factors[0] is None) == (factors[1] is None) == (not tiny.CONFIGS[name].get("rope_scaling"))
    if factors[0] is not None:
        np.testing.assert_allclose(*factors, rtol=1e-6)
    assert ours.template in ("", tiny.TEMPLATE)
    assert (theirs.template, theirs.tool_template) == (tiny.TEMPLATE, tiny.TOOL_TEMPLATE)
    assert tiny.IM_END in ours.stop_ids
    assert theirs.stop_ids == {tiny.IM_END, tiny.END_OF_TEXT}
    assert ours.special["eos_token"] == theirs.special["eos_token"] == "<|im_end|>"
    assert ours.weight("0.nonsense") is None
    assert theirs.weight("0.nonsense") is None


@pytest.fixture
def copy(folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a tiny model's folder, to be changed."""
    shutil.copytree(folder("smollm2"), tmp_path / "copy")
    return tmp_path / "copy"


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_generation_defaults_and_every_end_of_an_answer_are_read(copy: Path) -> None:
    change(
        copy / "generation_config.json",
        eos_token_id=[5, 6],
        temperature=0.6,
        top_p=0.9,
        top_k=20,
        repetition_penalty=1.05,
        max_length=99,
        transformers_version="5",
    )
    opened = open_checkpoint(copy)
    assert opened.stop_ids == {5, 6, tiny.IM_END}
    assert opened.defaults == {"temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.05}


@pytest.mark.parametrize(("sampled", "default"), [(False, 0), (True, 0.6)])
def test_a_model_that_is_not_to_be_sampled_takes_the_likeliest_token(copy: Path, sampled: bool, default: float) -> None:
    change(copy / "generation_config.json", do_sample=sampled, temperature=0.6)
    assert open_checkpoint(copy).defaults == {"temperature": default}


def test_the_chat_template_is_found_wherever_repositories_keep_it(copy: Path) -> None:
    assert (open_checkpoint(copy).template, open_checkpoint(copy).tool_template) == (tiny.TEMPLATE, "")
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    change(copy / "tokenizer_config.json", chat_template=named)
    assert (open_checkpoint(copy).template, open_checkpoint(copy).tool_template) == ("plain", "tools")
    (copy / "chat_template.json").write_text('{"chat_template": "beside"}')
    assert open_checkpoint(copy).template == "beside"
    (copy / "chat_template.jinja").write_text("alone")
    assert (open_checkpoint(copy).template, open_checkpoint(copy).tool_template) == ("alone", "")


def test_a_special_token_may_be_spelt_as_an_object(copy: Path) -> None:
    change(copy / "tokenizer_config.json", bos_token={"content": "<|im_start|>", "lstrip": False})
    assert open_checkpoint(copy).special["bos_token"] == "<|im_start|>"


def test_weights_may_lie_in_several_files_and_in_half_precision(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    whole = open_checkpoint(copy, "f32").weight("1.up")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    for part, chosen in enumerate((names[::2], names[1::2])):
        halves = {name: tensors[name].astype(np.float16) for name in chosen}
        save_file(halves, copy / f"model-0000{part + 1}-of-00002.safetensors")
    found = open_checkpoint(copy, "f32").weight("1.up")
    assert isinstance(found, np.ndarray)
    assert isinstance(whole, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole, rtol=1e-3, atol=1e-6)


def test_bfloat16_weights_are_read(copy: Path) -> None:
    """No numpy library writes them, so the file is made by hand."""
    whole = load_file(copy / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    data = (whole.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    entry = {"dtype": "BF16", "shape": list(whole.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"model.layers.1.mlp.up_proj.weight": entry, "__metadata__": {"format": "pt"}}).encode()
    (copy / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    found = open_checkpoint(copy, "f32").weight("1.up")
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, whole, rtol=1 / 128)


def test_matrices_are_loaded_at_eight_bits_unless_asked_otherwise(folder: Callable[[str], Path]) -> None:
    opened = open_checkpoint(folder("smollm2"))
    assert isinstance(opened.weight("0.q"), Codes)
    assert isinstance(opened.weight("norm"), np.ndarray)
    assert opened.quantisation == "int8"
    assert isinstance(open_checkpoint(folder("smollm2"), "f32").weight("0.q"), np.ndarray)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model_type": "mamba"}, "mamba.*llama, qwen2"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "yarn"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4}}, "dynamic"),
        ({"use_sliding_window": True}, "sliding"),
        ({"num_attention_heads": None}, "can't be read"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_built_here_is_refused_by_name(copy: Path, values: dict[str, Any], words: str) -> None:
    change(copy / "config.json", **values)
    with pytest.raises(StoreError, match=words):
        open_checkpoint(copy)


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 64, (9).to_bytes(8, "little") + b"{not json"], ids=len)
def test_broken_weights_are_refused(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(StoreError):
        open_checkpoint(copy)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_broken_settings_are_refused(copy: Path, file: str) -> None:
    (copy / file).write_text("{")
    with pytest.raises(StoreError):
        open_checkpoint(copy)


def test_weights_of_integers_are_refused(copy: Path) -> None:
    save_file({"model.norm.weight": np.zeros(4, np.int32)}, copy / "model.safetensors")
    with pytest.raises(StoreError, match="I32"):
        open_checkpoint(copy)


def test_a_gguf_file_without_a_model_in_it_is_refused(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(StoreError, match="can't be read"):
        open_checkpoint(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="neither"):
        open_checkpoint(tmp_path)
