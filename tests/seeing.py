"""Tiny models that see, with random weights and the layout of SmolVLM, Idefics3 and (seeing_qwen.py) Qwen2.5-VL;
nothing of them is committed.

The first cuts pictures into tiles; the second sees them whole, with fewer patches than its table of positions is for;
the third, which is there as it was published and as newer libraries write it, takes pictures of any size. Weights
and pictures come from counters, as in tiny.py, and are scaled so that attention scores reach 10 and more.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

import seeing_qwen
import tiny
from seeing_qwen import NEWER, PUBLISHED

AROUND, IMAGE, END = "<fake_token_around_image>", "<image>", "<end_of_utterance>"
SPECIALS = (*tiny.SPECIALS, AROUND, IMAGE, END, "<global-img>")
TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
ROWS = 576
START, LAST = tiny.IM_START, tiny.VOCAB + 2
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
BOTH = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN = (PUBLISHED, NEWER)
TEMPLATES = {"smolvlm": SMOLVLM, "idefics3": BOTH, **dict.fromkeys(QWEN, seeing_qwen.TEMPLATE)}
TEXT = tiny.llama(
    hidden_size=192,
    intermediate_size=512,
    max_position_embeddings=4096,
    num_attention_heads=3,
    num_key_value_heads=1,
    rope_theta=10000.0,
    tie_word_embeddings=True,
    vocab_size=ROWS,
    eos_token_id=LAST,
)


def config(name: str) -> dict[str, Any]:
    """config.json."""
    if name in QWEN:
        return seeing_qwen.config(name, ROWS)
    sizes = {
        "smolvlm": {"hidden_size": 96, "num_attention_heads": 3, "image_size": 48, "patch_size": 4},
        "idefics3": {"hidden_size": 64, "num_attention_heads": 2, "image_size": 56, "patch_size": 4},
    }[name]
    vision = {
        **sizes,
        "model_type": f"{name}_vision",
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_channels": 3,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
    }
    return {
        "architectures": [{"smolvlm": "SmolVLM", "idefics3": "Idefics3"}[name] + "ForConditionalGeneration"],
        "model_type": name,
        "image_token_id": tiny.VOCAB + 1,
        "scale_factor": {"smolvlm": 3, "idefics3": 2}[name],
        "tie_word_embeddings": True,
        "bos_token_id": START,
        "eos_token_id": LAST,
        "pad_token_id": tiny.END_OF_TEXT,
        "text_config": {**TEXT, "pad_token_id": tiny.END_OF_TEXT},
        "vision_config": vision,
    }


def images(name: str) -> dict[str, Any]:
    """preprocessor_config.json."""
    if name in QWEN:
        return seeing_qwen.images(name)
    return {
        "image_processor_type": {"smolvlm": "SmolVLMImageProcessor", "idefics3": "Idefics3ImageProcessor"}[name],
        "do_convert_rgb": True,
        "do_resize": True,
        "do_image_splitting": name == "smolvlm",
        "do_rescale": True,
        "do_normalize": True,
        "do_pad": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.5, 0.5] if name == "smolvlm" else [0.48, 0.46, 0.41],
        "image_std": [0.5, 0.5, 0.5] if name == "smolvlm" else [0.27, 0.26, 0.28],
        "size": {"longest_edge": 192 if name == "smolvlm" else 80},
        "max_image_size": {"longest_edge": 48 if name == "smolvlm" else 40},
        "resample": 1,
    }


def tensors(name: str) -> dict[str, np.ndarray]:
    """The weights in float32, under the names they have in a Hugging Face checkpoint."""
    if name in QWEN:
        return seeing_qwen.tensors(name, ROWS)
    whole = config(name)
    text = tiny.tensors(name, TEXT)
    out = {"model.text_model." + key.removeprefix("model."): value for key, value in text.items()}
    vision, hidden = whole["vision_config"], whole["vision_config"]["hidden_size"]
    patch, inner, root = vision["patch_size"], vision["intermediate_size"], "model.vision_model"

    def draw(key: str, scale: float, *shape: int, shift: float = 0.0) -> None:
        out[key] = (shift + scale * tiny.normals(f"{name} {key}", *shape)).astype(np.float32)

    def linear(key: str, scale: float, rows: int, columns: int) -> None:
        draw(f"{key}.weight", scale * columns**-0.5, rows, columns)
        draw(f"{key}.bias", 0.3, rows)

    def norm(key: str) -> None:
        draw(f"{key}.weight", 0.2, hidden, shift=1.0)
        draw(f"{key}.bias", 0.2, hidden)

    draw(f"{root}.embeddings.patch_embedding.weight", 2 * (3 * patch**2) ** -0.5, hidden, 3, patch, patch)
    draw(f"{root}.embeddings.patch_embedding.bias", 0.3, hidden)
    draw(f"{root}.embeddings.position_embedding.weight", 0.7, (vision["image_size"] // patch) ** 2, hidden)
    for layer in range(vision["num_hidden_layers"]):
        block = f"{root}.encoder.layers.{layer}"
        norm(f"{block}.layer_norm1")
        norm(f"{block}.layer_norm2")
        for part, scale in (("q_proj", 1.8), ("k_proj", 1.8), ("v_proj", 1.0), ("out_proj", 1.0)):
            linear(f"{block}.self_attn.{part}", scale, hidden, hidden)
        linear(f"{block}.mlp.fc1", 1.0, inner, hidden)
        linear(f"{block}.mlp.fc2", 1.0, hidden, inner)
    norm(f"{root}.post_layernorm")
    joined = hidden * whole["scale_factor"] ** 2
    draw("model.connector.modality_projection.proj.weight", 3 * (192 * joined) ** -0.5, 192, joined)
    return out


def picture(name: str, height: int, width: int) -> np.ndarray:
    """A picture uint8 [height, width, 3]: patches of colour under noise, its own for each ``name``."""
    coarse = tiny.bits(f"{name} coarse", 6 * 6 * 3).astype(np.float64).reshape(6, 6, 3) / 2**64
    rows, columns = (np.arange(count) * 6 // count for count in (height, width))
    noise = tiny.normals(f"{name} noise", height, width, 3)
    return np.clip(255 * coarse[rows][:, columns] + 20 * noise, 0, 255).astype(np.uint8)


def tokenizer(name: str) -> Any:
    """tiny.py's, with the words that stand for pictures."""
    from tokenizers import AddedToken

    made = tiny.tokenizer()
    specials, others = (seeing_qwen.SPECIALS, ()) if name in QWEN else (SPECIALS, TILES)
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in specials])
    made.add_tokens([AddedToken(word, special=False, normalized=False) for word in others])
    return made


def write(name: str, folder: Path) -> None:
    """Write the model ``name`` to ``folder`` as a Hugging Face checkpoint of one safetensors file."""
    from safetensors.numpy import save_file

    end, last = ("<|im_end|>", tiny.IM_END) if name in QWEN else (END, LAST)
    settings = {
        "bos_token": "<|im_start|>",
        "eos_token": end,
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, value in (
        ("config.json", config(name)),
        ("preprocessor_config.json", images(name)),
        ("generation_config.json", {"eos_token_id": last}),
        ("tokenizer_config.json", settings),
    ):
        (folder / file).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATES[name], encoding="utf-8")
    tokenizer(name).save(str(folder / "tokenizer.json"))
    save_file(tensors(name), folder / "model.safetensors", metadata={"format": "pt"})
