"""A model's folder, read: its shape, its weights under our names, its vocabulary and its chat template.

Two formats lead here: one GGUF file, or Hugging Face's config.json with safetensors. Everything above this file knows
neither.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tertulia import gguf
from tertulia.catalog.facts import CODED, SEEING
from tertulia.engine.names import naming, sees
from tertulia.engine.vision import Vision, read_vision
from tertulia.engine.weights import FLOATS, Array, Codes, Weight, decode, floats, quantise
from tertulia.errors import StoreError

FAMILIES = ("llama", "qwen2")


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that make a graph. ``rope_factors`` divide the rotary frequencies (Llama 3's long-context
    scaling). Where a token has three positions, ``sections`` say how many frequencies turn with each."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    eps: float
    rope_theta: float
    tied: bool
    rope_factors: NDArray[np.float32] | None = None
    sections: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened model. ``weight(name)`` decodes one tensor, or gives None where the model has none of that name; names
    are ``embed``, ``norm``, ``head`` and, for each layer N, ``N.q``, ``N.q.bias``, ``N.attention_norm`` ...
    ``N.down``. ``tool_template`` is the chat template for requests with tools, where it is another. A model that sees
    has ``vision``, and weights called ``vision.patch``, ``vision.N.o`` ... ``connector``, by what its tower is."""

    shape: Shape
    weight: Callable[[str], Weight | None]
    template: str
    quantisation: str
    stop_ids: frozenset[int]
    defaults: dict[str, float] = field(default_factory=dict[str, float])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    tokenizer: Path | None = None
    special: dict[str, str] = field(default_factory=dict[str, str])
    tool_template: str = ""
    vision: Vision | None = None


def open_checkpoint(folder: Path, weights: str = "int8") -> Checkpoint:
    """Open the model in ``folder``. ``weights`` says how float matrices are loaded: ``int8`` or ``f32``.

    Raises StoreError when the folder holds no model, or one of a family that is not built here.
    """
    files = sorted(folder.glob("*.gguf"))
    try:
        if files:
            return _from_gguf(files[0])
        if (folder / "config.json").is_file():
            return _from_folder(folder, weights)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise StoreError(
            f"the model in {folder} can't be read ({type(error).__name__}: {error}); pull it again"
        ) from None
    raise StoreError(f"{folder} holds neither a GGUF file nor a config.json with safetensors")


def _family(name: str) -> str:
    if name not in FAMILIES:
        known = ", ".join([*FAMILIES, *sorted(SEEING)])
        raise StoreError(f"models of the family '{name}' are not built here; those of {known} are")
    return name


# ---------------------------------------------------------------- GGUF

_GGUF_NAMES = {
    "attention_norm": "attn_norm.weight",
    "q": "attn_q.weight",
    "k": "attn_k.weight",
    "v": "attn_v.weight",
    "q.bias": "attn_q.bias",
    "k.bias": "attn_k.bias",
    "v.bias": "attn_v.bias",
    "o": "attn_output.weight",
    "mlp_norm": "ffn_norm.weight",
    "gate": "ffn_gate.weight",
    "up": "ffn_up.weight",
    "down": "ffn_down.weight",
}
_GGUF_TOP = {"embed": "token_embd.weight", "norm": "output_norm.weight", "head": "output.weight"}


def _from_gguf(path: Path) -> Checkpoint:
    file = gguf.read(path)
    data = file.metadata
    family = _family(data["general.architecture"])

    def number(key: str, default: Any = None) -> Any:
        return data.get(f"{family}.{key}", default)

    heads, hidden = number("attention.head_count"), number("embedding_length")
    factors = file.tensors.get("rope_freqs.weight")
    scaling = number("rope.scaling.type", "none")
    if scaling not in ("none", "linear") or (scaling == "linear" and number("rope.scaling.factor", 1) != 1):
        raise StoreError(f"{path.name}: rope scaling '{scaling}' is not built here")
    shape = Shape(
        family=family,
        layers=number("block_count"),
        hidden=hidden,
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        head_size=number("attention.key_length", hidden // heads),
        vocabulary=file.tensors["token_embd.weight"].shape[0],
        context=number("context_length"),
        eps=number("attention.layer_norm_rms_epsilon"),
        rope_theta=number("rope.freq_base", 10000.0),
        tied="output.weight" not in file.tensors,
        rope_factors=None if factors is None else np.frombuffer(factors.data, np.float32),
    )

    def weight(name: str) -> Weight | None:
        layer, _, rest = name.partition(".")
        found = file.tensors.get(_GGUF_TOP.get(name) or f"blk.{layer}.{_GGUF_NAMES.get(rest)}")
        if found is None:
            return None
        value = decode(found.type, found.shape, found.data)
        if family == "llama" and rest in ("q", "k"):
            return _unpermute(value, shape.heads if rest == "q" else shape.kv_heads)
        return value

    types = [tensor.type for tensor in file.tensors.values() if len(tensor.shape) == 2]
    return Checkpoint(
        shape=shape,
        weight=weight,
        template=data.get("tokenizer.chat_template", ""),
        quantisation=max(sorted(set(types)), key=types.count),
        stop_ids=_gguf_stops(data),
        metadata=data,
        special=_gguf_special(data),
        tool_template=data.get("tokenizer.chat_template.tool_use", ""),
    )


def _unpermute(value: Weight, heads: int) -> Weight:
    """GGUF interleaves the two halves of each head's rows for llama's rotary embedding; ours is the half-and-half
    one."""
    rows = value.shape[0]
    order = np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)
    return value.rows(order) if isinstance(value, Codes) else np.ascontiguousarray(value[order])


_STOP_WORDS = ("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>")


def _gguf_stops(data: dict[str, Any]) -> frozenset[int]:
    named = [data.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot")]
    words: list[str] = data.get("tokenizer.ggml.tokens", [])
    kinds: list[int] = data.get("tokenizer.ggml.token_type", [])
    control = {words[index] for index, kind in enumerate(kinds) if kind == 3}
    stops = [words.index(word) for word in _STOP_WORDS if word in control]
    return frozenset([token for token in named if token is not None] + stops)


def _gguf_special(data: dict[str, Any]) -> dict[str, str]:
    words: list[str] = data.get("tokenizer.ggml.tokens", [])
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    ids = {name: data.get(f"tokenizer.ggml.{key}_token_id") for name, key in names.items()}
    return {name: words[index] for name, index in ids.items() if index is not None and index < len(words)}


# ---------------------------------------------------------------- safetensors

_TEXT: dict[str, dict[str, Any]] = {
    "idefics": {"rms_norm_eps": 1e-5, "vocab_size": 32000, "max_position_embeddings": 2048, "model_type": "llama"},
    "qwen": {"rms_norm_eps": 1e-5, "vocab_size": 152064, "max_position_embeddings": 32768, "rope_theta": 1e6},
}
"""What the text half of a model that sees is by default: its settings may leave that out."""
SECTIONS = (16, 24, 24)
"""The same for how many rotary frequencies of Qwen2.5-VL turn with each of a token's positions."""


def _text_settings(whole: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model's text half: a part of their own where it sees, or among all others."""
    if whole["model_type"] not in SEEING:
        return whole
    if whole["model_type"] == "qwen2_5_vl":
        text: dict[str, Any] = whole.get("text_config") or whole
        tied = whole.get("tie_word_embeddings") or text.get("tie_word_embeddings")
        return _TEXT["qwen"] | text | {"model_type": "qwen2", "tie_word_embeddings": tied}
    text = _TEXT["idefics"] | whole["text_config"]
    text["model_type"] = "llama" if text["model_type"] == "vllama3" else text["model_type"]
    return text | {"tie_word_embeddings": whole.get("tie_word_embeddings")}


def _from_folder(folder: Path, weights: str) -> Checkpoint:
    whole = _json(folder / "config.json")
    config, kind = _text_settings(whole), whole["model_type"]
    tensors = {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in _tensors(path)}
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    head_size = config.get("head_dim") or hidden // heads
    if config.get("use_sliding_window"):
        raise StoreError(f"{folder.name}: sliding-window attention is not built here")
    rope: dict[str, Any] = config.get("rope_parameters") or {}
    shape = Shape(
        family=_family(config["model_type"]),
        layers=config["num_hidden_layers"],
        hidden=hidden,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=head_size,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        eps=config["rms_norm_eps"],
        rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
        tied=bool(config.get("tie_word_embeddings")) or "lm_head.weight" not in tensors,
        rope_factors=_llama3_factors(folder, config, head_size),
        sections=_sections(config, head_size) if kind == "qwen2_5_vl" else (),
    )
    spelt = naming(kind, tensors)

    def weight(name: str) -> Weight | None:
        found = tensors.get(spelt(name))
        if found is None:
            return None
        if found.ndim > 2:
            return floats(found).reshape(len(found), -1)
        coded = weights == "int8" and found.ndim == 2 and (kind in CODED or not sees(name))
        return quantise(found) if coded else floats(found)

    generation = _json(folder / "generation_config.json")
    tokens = _json(folder / "tokenizer_config.json")
    names = ("bos_token", "eos_token", "unk_token", "pad_token")
    return Checkpoint(
        shape=shape,
        weight=weight,
        template=_template(folder, tokens, "default"),
        quantisation=weights,
        stop_ids=_ids(generation) | _ids(whole) or _ids(config),
        defaults=_defaults(generation),
        tokenizer=folder / "tokenizer.json",
        special={name: _word(tokens[name]) for name in names if tokens.get(name)},
        tool_template=_template(folder, tokens, "tool_use"),
        vision=read_vision(whole, _image_settings(folder)) if kind in SEEING else None,
    )


def _image_settings(folder: Path) -> dict[str, Any]:
    """How pictures are prepared: a file of its own in older repositories, a part of another in newer."""
    found = _json(folder / "preprocessor_config.json")
    return found or _json(folder / "processor_config.json").get("image_processor", {})


def _ids(settings: dict[str, Any]) -> frozenset[int]:
    """The ends of an answer: a token id, a list of them, or none."""
    found: Any = settings.get("eos_token_id")
    ids = cast("list[int | None]", found if isinstance(found, list) else [found])
    return frozenset(token for token in ids if token is not None)


def _word(token: Any) -> str:
    """A special token, spelt as a string or as an object with its properties."""
    return cast("dict[str, str]", token)["content"] if isinstance(token, dict) else token


_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def _defaults(generation: dict[str, Any]) -> dict[str, float]:
    """What a request's fields are where it doesn't say. A model that is not to be sampled takes the likeliest token."""
    told: dict[str, float] = {
        name: generation[name] for name in _DEFAULTS if isinstance(generation.get(name), int | float)
    }
    return told | ({"temperature": 0} if generation.get("do_sample") is False else {})


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _template(folder: Path, tokens: dict[str, Any], name: str) -> str:
    """The chat template: a file of its own in newer repositories, a field (or a list of named ones) in older. One that
    has no name is the default."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8") if name == "default" else ""
    template: Any = _json(folder / "chat_template.json").get("chat_template") or tokens.get("chat_template") or ""
    if isinstance(template, list):
        named = cast("list[dict[str, str]]", template)
        return next((item["template"] for item in named if item["name"] == name), "")
    return template if name == "default" else ""


def _tensors(path: Path) -> list[tuple[str, Array]]:
    """Name and numbers of every tensor of a safetensors file, where they are in it: eight bytes of length, JSON, then
    the bytes as they are. The safetensors package gives no bfloat16 to numpy."""
    mapped: Any = np.memmap(path, np.uint8, "r")
    view = memoryview(mapped)
    (length,) = struct.unpack_from("<Q", view)
    header: dict[str, Any] = json.loads(bytes(view[8 : 8 + length]))

    def numbers(entry: dict[str, Any]) -> Array:
        begin, end = entry["data_offsets"]
        data = view[8 + length + begin : 8 + length + end]
        return np.frombuffer(data, FLOATS[entry["dtype"]]).reshape(entry["shape"])

    found = {name: entry for name, entry in header.items() if name != "__metadata__"}
    odd = sorted({entry["dtype"] for entry in found.values()} - set(FLOATS))
    if odd:
        raise StoreError(f"{path.name} holds {', '.join(odd)} tensors; F32, F16 and BF16 can be read")
    return [(name, numbers(entry)) for name, entry in found.items()]


def _sections(config: dict[str, Any], head_size: int) -> tuple[int, ...]:
    """How many rotary frequencies turn with each of a token's positions."""
    rope: dict[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    sections: tuple[int, ...] = tuple(rope.get("mrope_section") or SECTIONS)
    if 2 * sum(sections) != head_size:
        raise StoreError(f"{sum(sections)} rotary frequencies are spread over three positions, of {head_size // 2}")
    return sections


def _llama3_factors(folder: Path, config: dict[str, Any], head_size: int) -> NDArray[np.float32] | None:
    """By what each rotary frequency is divided (Llama 3.1: long waves by ``factor``, short ones by nothing, those
    between by a blend of both)."""
    scaling: dict[str, Any] = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind in ("default", "mrope"):
        return None
    if kind != "llama3":
        raise StoreError(f"{folder.name}: rope scaling '{kind}' is not built here")
    theta = float(config.get("rope_theta") or scaling.get("rope_theta") or 10000.0)
    length, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    waves = 2 * math.pi * theta ** (np.arange(0, head_size, 2) / head_size)
    blend = np.clip((length / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - blend) / factor + blend)).astype(np.float32)
