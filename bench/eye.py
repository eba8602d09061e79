"""A model that sees, for measuring: the one that comes with Tertulia, or one of its shape with weights by chance."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tools.sight import tokens

from bench.worker import ROOT

SHIPPED = ROOT / "models" / "sight"
VISION = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6}
TEXT = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
SIDE, PATCH, FACTOR, ROWS, CONTEXT = 96, 8, 2, 704, 2048
"""As in tools/sight/model.py."""


def folder(asked: Path, place: Path) -> Path:
    """The folder of a model that sees: ``asked`` if it does, the shipped one, or one that is made in ``place``."""
    for one in (asked, SHIPPED):
        if (one / "config.json").is_file() and "vision_config" in json.loads((one / "config.json").read_text()):
            return one
    return write(place)


def config() -> dict[str, Any]:
    """config.json."""
    end = {"bos_token_id": tokens.START, "eos_token_id": tokens.END, "pad_token_id": tokens.PAD}
    text = {
        **TEXT,
        **end,
        "model_type": "llama",
        "num_key_value_heads": TEXT["num_attention_heads"],
        "head_dim": TEXT["hidden_size"] // TEXT["num_attention_heads"],
        "vocab_size": ROWS,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    }
    vision = {
        **VISION,
        "model_type": "idefics3_vision",
        "image_size": SIDE,
        "patch_size": PATCH,
        "hidden_act": "gelu_pytorch_tanh",
    }
    return {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "image_token_id": tokens.IMAGE,
        "scale_factor": FACTOR,
        "tie_word_embeddings": True,
        **end,
        "text_config": text,
        "vision_config": vision,
    }


def shapes() -> dict[str, tuple[int, ...]]:
    """All tensors."""
    hidden, wide = TEXT["hidden_size"], TEXT["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {
        "text_model.embed_tokens.weight": (ROWS, hidden),
        "text_model.norm.weight": (hidden,),
        "connector.modality_projection.proj.weight": (hidden, VISION["hidden_size"] * FACTOR**2),
    }
    for layer in range(TEXT["num_hidden_layers"]):
        root = f"text_model.layers.{layer}"
        found |= {f"{root}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
        found |= {f"{root}.self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        found |= {f"{root}.mlp.{name}_proj.weight": (wide, hidden) for name in ("gate", "up")}
        found[f"{root}.mlp.down_proj.weight"] = (hidden, wide)
    hidden, wide = VISION["hidden_size"], VISION["intermediate_size"]
    pairs: dict[str, tuple[int, ...]] = {"embeddings.patch_embedding": (hidden, 3, PATCH, PATCH)}
    pairs["post_layernorm"] = (hidden,)
    for layer in range(VISION["num_hidden_layers"]):
        root = f"encoder.layers.{layer}"
        pairs |= {f"{root}.self_attn.{name}_proj": (hidden, hidden) for name in ("q", "k", "v", "out")}
        pairs |= {f"{root}.layer_norm{number}": (hidden,) for number in (1, 2)}
        pairs |= {f"{root}.mlp.fc1": (wide, hidden), f"{root}.mlp.fc2": (hidden, wide)}
    for name, shape in pairs.items():
        found |= {f"vision_model.{name}.weight": shape, f"vision_model.{name}.bias": shape[:1]}
    found["vision_model.embeddings.position_embedding.weight"] = ((SIDE // PATCH) ** 2, hidden)
    return found


def write(place: Path) -> Path:
    """Make the model."""
    random = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for name, shape in shapes().items():
        drawn = random.standard_normal(shape) * (np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1)
        tensors[f"model.{name}"] = (drawn + (len(shape) == 1 and name.endswith("weight"))).astype(np.float16)
    images = {
        "image_processor_type": "Idefics3ImageProcessor",
        "do_image_splitting": False,
        "size": {"longest_edge": SIDE},
        "max_image_size": {"longest_edge": SIDE},
        "resample": 1,
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, value in (("config.json", config()), ("preprocessor_config.json", images)):
        (place / name).write_text(json.dumps(value))
    (place / "chat_template.jinja").write_text(tokens.TEMPLATE)
    shutil.copy(tokens.FILE, place / "tokenizer.json")
    (place / "model.safetensors").write_bytes(_packed(tensors))
    return place


def _packed(tensors: dict[str, np.ndarray]) -> bytes:
    """Tensors of 16 bits as a safetensors file."""
    head: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        head[name] = {"dtype": "F16", "shape": tensor.shape, "data_offsets": [begin, end]}
    told = json.dumps(head).encode()
    told += b" " * (-len(told) % 8)
    return len(told).to_bytes(8, "little") + told + b"".join(tensor.tobytes() for tensor in tensors.values())
