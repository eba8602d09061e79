"""What tensors are called in the Hugging Face Hub's repositories, by our names."""

from collections.abc import Callable, Collection

_TEXT = {
    "attention_norm": "input_layernorm.weight",
    "q": "self_attn.q_proj.weight",
    "k": "self_attn.k_proj.weight",
    "v": "self_attn.v_proj.weight",
    "q.bias": "self_attn.q_proj.bias",
    "k.bias": "self_attn.k_proj.bias",
    "v.bias": "self_attn.v_proj.bias",
    "o": "self_attn.o_proj.weight",
    "mlp_norm": "post_attention_layernorm.weight",
    "gate": "mlp.gate_proj.weight",
    "up": "mlp.up_proj.weight",
    "down": "mlp.down_proj.weight",
}
_TEXT_TOP = {"embed": "embed_tokens.weight", "norm": "norm.weight"}
_IDEFICS = {
    "attention_norm": "layer_norm1",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "mlp_norm": "layer_norm2",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}
_IDEFICS_TOP = {
    "vision.patch": "model.vision_model.embeddings.patch_embedding",
    "vision.positions": "model.vision_model.embeddings.position_embedding",
    "vision.norm": "model.vision_model.post_layernorm",
    "connector": "model.connector.modality_projection.proj",
}
_QWEN = {
    "attention_norm": "norm1",
    "qkv": "attn.qkv",
    "o": "attn.proj",
    "mlp_norm": "norm2",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_QWEN_TOP = {
    "vision.patch": "patch_embed.proj",
    "vision.norm": "merger.ln_q",
    "connector.up": "merger.mlp.0",
    "connector.down": "merger.mlp.2",
}


def sees(name: str) -> bool:
    """Whether a tensor of this name, one of ours, belongs to the tower or its connector."""
    return name.startswith(("vision.", "connector"))


def naming(kind: str, there: Collection[str]) -> Callable[[str], str]:
    """What gives the name of a tensor in a checkpoint of the family ``kind`` that holds the tensors ``there``. Those of
    Qwen2.5-VL have other prefixes where newer libraries have written them."""
    if kind == "qwen2_5_vl":
        newer = any(name.startswith("model.visual.") for name in there)
        text, eye = ("model.language_model.", "model.visual.") if newer else ("model.", "visual.")
        top, layers = {name: eye + rest for name, rest in _QWEN_TOP.items()}, (f"{eye}blocks", _QWEN)
    else:
        text = "model.text_model." if kind in ("idefics3", "smolvlm") else "model."
        top, layers = _IDEFICS_TOP, ("model.vision_model.encoder.layers", _IDEFICS)

    def spelt(name: str) -> str:
        if sees(name):
            stem, end = (name[:-5], "bias") if name.endswith(".bias") else (name, "weight")
            if stem in top:
                return f"{top[stem]}.{end}"
            _, layer, part = stem.split(".")
            return f"{layers[0]}.{layer}.{layers[1].get(part)}.{end}"
        layer, _, rest = name.partition(".")
        if name == "head":
            return "lm_head.weight"
        return text + (_TEXT_TOP.get(name) or f"layers.{layer}.{_TEXT.get(rest)}")

    return spelt
