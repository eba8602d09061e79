"""What is told before a model is loaded is what it then takes: measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny
from tertulia.catalog import manifest, memory
from tertulia.catalog.files import File

SETTINGS = tiny.llama(
    hidden_size=1024,
    max_position_embeddings=512,
    num_attention_heads=16,
    num_key_value_heads=4,
    num_hidden_layers=1,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    vocab_size=4096,
)
MEASURE = """
import sys
from pathlib import Path
import numpy as np
from tertulia.engine.batch import Batch
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.model import Model

def taken():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def use(folder):
    weights, aside = sys.argv[1], Path(folder) if sys.argv[2] == "aside" else None
    checkpoint = open_checkpoint(Path(folder), weights)
    model = Model(checkpoint, kv=1 << 20, threads=2, rounding=weights != "f32", aside=aside)
    whole = lambda *numbers: np.array(numbers, np.int32)
    for count in (32, 1):
        tokens, places = np.zeros(count, np.int64), np.arange(count, dtype=np.int64)
        model.forward(Batch(tokens, places, whole(0), whole(0, count), whole(0), whole(0, 1), places[-1:], count))
    return model

kept = []
for folder in sys.argv[3:]:
    before = taken()
    kept.append(use(folder))
    print(taken() - before)
"""


def write(folder: Path, inner: int) -> Path:
    """A checkpoint of one layer, as wide inside as that."""
    from safetensors.numpy import save_file

    tiny.write("smollm2", folder)
    (folder / "config.json").write_text(json.dumps(SETTINGS | {"intermediate_size": inner}), encoding="utf-8")
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32).astype(np.float16)

    parts = {"q": (1024, 1024), "k": (256, 1024), "v": (256, 1024), "o": (1024, 1024)}
    layer = {f"self_attn.{name}_proj.weight": draw(*shape) for name, shape in parts.items()}
    layer |= {f"mlp.{name}_proj.weight": draw(inner, 1024) for name in ("gate", "up")}
    layer |= {"mlp.down_proj.weight": draw(1024, inner)}
    layer |= {f"{name}_layernorm.weight": np.ones(1024, np.float16) for name in ("input", "post_attention")}
    held = {f"model.layers.0.{name}": value for name, value in layer.items()}
    held |= {"model.embed_tokens.weight": draw(4096, 1024), "lm_head.weight": draw(4096, 1024)}
    save_file(held | {"model.norm.weight": np.ones(1024, np.float16)}, folder / "model.safetensors")
    return folder


def told(folder: Path, weights: str, place: str) -> int:
    files = tuple(File(path.name, "0" * 64, path.stat().st_size) for path in sorted(folder.iterdir()))
    model = manifest.write(folder, "a/model", "a test", files)
    return memory.estimate(model, kv=0, weights=weights) - (memory.aside(model, weights) if place == "aside" else 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize(("weights", "place"), [("int8", "memory"), ("f32", "memory"), ("int8", "aside")])
def test_a_wider_model_takes_as_much_more_as_is_told(
    tmp_path: Path, weights: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_on_disk", lambda folder: True)
    narrow, wide = write(tmp_path / "narrow", 1024), write(tmp_path / "wide", 5120)
    command = [sys.executable, "-c", MEASURE, weights, place, narrow, narrow, wide]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    _, less, more = map(int, done.stdout.split())
    ratio = (more - less) / (told(wide, weights, place) - told(narrow, weights, place))
    assert 0.8 < ratio < 1.15
