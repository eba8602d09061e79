"""Tiny models with random weights and the layout of Qwen2.5-VL, for seeing.py: in the form in which the models were
published, with a head of its own, and in the form that newer libraries write, with a tied one.

A window is three by three tokens, so that most pictures have several, ragged at the edges; layers with windows and
without take turns. The rotary base is small, so that a picture's columns, which turn slowest, decide something.
"""

from typing import Any

import numpy as np

import tiny

PUBLISHED, NEWER = "qwen2.5-vl", "qwen2.5-vl-newer"
START, END, IMAGE = SPECIALS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
TOKEN = tiny.VOCAB + SPECIALS.index(IMAGE)
PATCH, MERGE, FRAMES = 4, 2, 2
HIDDEN = 96
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nthe class<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image_url' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def config(name: str, rows: int) -> dict[str, Any]:
    """config.json, with a vocabulary of ``rows``."""
    text = tiny.qwen2(
        hidden_size=192,
        intermediate_size=512,
        max_position_embeddings=4096,
        num_attention_heads=3,
        num_key_value_heads=1,
        rope_theta=100.0,
        rope_scaling={"type": "mrope", "mrope_section": [8, 12, 12]},
        tie_word_embeddings=name == NEWER,
        use_sliding_window=False,
        vocab_size=rows,
    )
    vision = {
        "depth": 4,
        "fullatt_block_indexes": [1, 3],
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "in_channels": 3,
        "intermediate_size": 200,
        "num_heads": 3,
        "out_hidden_size": 192,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": FRAMES,
        "tokens_per_second": 2,
        "window_size": 3 * MERGE * PATCH,
    }
    whole: dict[str, Any] = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "image_token_id": TOKEN,
        "vision_start_token_id": tiny.VOCAB,
        "vision_end_token_id": tiny.VOCAB + 1,
        "vision_token_id": TOKEN,
        "eos_token_id": tiny.IM_END,
        "tie_word_embeddings": name == NEWER,
        "vision_config": {**vision, "model_type": "qwen2_5_vl"},
    }
    if name == PUBLISHED:
        return {**text, **whole}
    text |= {"rope_scaling": {"rope_type": "default", "type": "default", "mrope_section": [8, 12, 12]}}
    text |= {"model_type": "qwen2_5_vl_text"}
    return {**whole, "text_config": text, "vision_config": {**vision, "model_type": "qwen2_5_vl"}}


def images(name: str) -> dict[str, Any]:
    """preprocessor_config.json: a picture is worth 4 to 64 tokens."""
    least, most = 4 * (PATCH * MERGE) ** 2, 64 * (PATCH * MERGE) ** 2
    bounds: dict[str, Any] = {"min_pixels": least, "max_pixels": most}
    if name == NEWER:
        bounds = {"size": {"shortest_edge": least, "longest_edge": most}, "resample": 3, "do_resize": True}
    return {
        **bounds,
        "patch_size": PATCH,
        "temporal_patch_size": FRAMES,
        "merge_size": MERGE,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
    }


def tensors(name: str, rows: int) -> dict[str, np.ndarray]:
    """The weights in float32, under the names they have in a Hugging Face checkpoint of either form."""
    whole = config(name, rows)
    said = {**whole, **whole.get("text_config", {}), "model_type": "qwen2"}
    out = tiny.tensors(name, said)
    root = "visual"
    if name == NEWER:
        root = "model.visual"
        out = {"model.language_model." + key.removeprefix("model."): value for key, value in out.items()}
    vision = whole["vision_config"]

    def draw(key: str, scale: float, *shape: int, shift: float = 0.0) -> None:
        out[key] = (shift + scale * tiny.normals(f"{name} {key}", *shape)).astype(np.float32)

    def linear(key: str, scale: float, rows: int, columns: int) -> None:
        draw(f"{key}.weight", scale * columns**-0.5, rows, columns)
        draw(f"{key}.bias", 0.3, rows)

    inner, merged = vision["intermediate_size"], HIDDEN * MERGE**2
    scale = 2 * (3 * FRAMES * PATCH**2) ** -0.5
    draw(f"{root}.patch_embed.proj.weight", scale, HIDDEN, 3, FRAMES, PATCH, PATCH)
    for layer in range(vision["depth"]):
        block = f"{root}.blocks.{layer}"
        draw(f"{block}.norm1.weight", 0.2, HIDDEN, shift=1.0)
        draw(f"{block}.norm2.weight", 0.2, HIDDEN, shift=1.0)
        linear(f"{block}.attn.qkv", 1.8, 3 * HIDDEN, HIDDEN)
        linear(f"{block}.attn.proj", 1.0, HIDDEN, HIDDEN)
        linear(f"{block}.mlp.gate_proj", 1.0, inner, HIDDEN)
        linear(f"{block}.mlp.up_proj", 1.0, inner, HIDDEN)
        linear(f"{block}.mlp.down_proj", 1.0, HIDDEN, inner)
    draw(f"{root}.merger.ln_q.weight", 0.2, HIDDEN, shift=1.0)
    linear(f"{root}.merger.mlp.0", 2.0, merged, merged)
    linear(f"{root}.merger.mlp.2", 3 * 192**-0.5, 192, merged)
    return out
