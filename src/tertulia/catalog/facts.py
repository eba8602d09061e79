"""What the files of a model say of themselves, for the manifest."""

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from tertulia import gguf
from tertulia.catalog import tensors
from tertulia.catalog.choose import label
from tertulia.errors import StoreError

# general.file_type of a GGUF file (llama.cpp's LLAMA_FTYPE)
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip
_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


SEEING = frozenset({"idefics3", "smolvlm", "qwen2_5_vl"})
"""The architectures that read images and that the engine is built for."""
CODED = frozenset({"qwen2_5_vl"})
"""Those of them whose towers are loaded at eight bits: they are large ones."""


class Facts(Struct, frozen=True):
    """``template`` and ``tokenizer`` are ``gguf``, the file they are in, or ``none``; ``context`` 0 is unknown;
    ``held`` counts the weights."""

    format: str
    quantization: str
    architecture: str
    context: int
    template: str
    tokenizer: str
    held: tensors.Held


def read(folder: Path, names: list[str]) -> Facts:
    """The facts of the model in ``folder``. Raises StoreError when its files can't be read."""
    ggufs = [name for name in names if name.endswith(".gguf")]
    return _from_gguf(folder / ggufs[0]) if ggufs else _from_config(folder, names)


def _from_gguf(path: Path) -> Facts:
    file = gguf.read(path)
    says = file.metadata
    architecture = str(says.get("general.architecture", ""))
    held = [tensor.type for tensor in file.tensors.values() if len(tensor.shape) > 1]
    usual = max(set(held), key=held.count) if held else ""
    return Facts(
        format="gguf",
        quantization=_FILE_TYPES.get(_count(says.get("general.file_type"), -1))
        or usual
        or label(path.name)
        or "unknown",
        architecture=architecture,
        context=_count(says.get(f"{architecture}.context_length")),
        template="gguf" if says.get("tokenizer.chat_template") else "none",
        tokenizer="gguf" if "tokenizer.ggml.tokens" in says else "none",
        held=tensors.of_gguf(file),
    )


def _from_config(folder: Path, names: list[str]) -> Facts:
    config = _load(folder / "config.json")
    quantized: dict[str, Any] = config.get("quantization_config") or {}
    method = quantized.get("quant_method")
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "")
    return Facts(
        format="safetensors",
        quantization=str(method).upper() if method else _DTYPES.get(dtype, dtype or "unknown"),
        architecture=str(config.get("model_type", "")),
        context=_count(config.get("max_position_embeddings")) or _text_context(config),
        template=_template(folder, names),
        tokenizer="tokenizer.json" if "tokenizer.json" in names else "none",
        held=tensors.read([folder / name for name in names if name.endswith(".safetensors")]),
    )


def _text_context(config: dict[str, Any]) -> int:
    """The context of a model that sees, whose settings for text stand apart; what they leave out is 2048."""
    text: dict[str, Any] = config.get("text_config") or {}
    return _count(text.get("max_position_embeddings"), 2048) if text else 0


def _template(folder: Path, names: list[str]) -> str:
    for name in ("chat_template.jinja", "chat_template.json"):
        if name in names:
            return name
    if "tokenizer_config.json" in names and _load(folder / "tokenizer_config.json").get("chat_template"):
        return "tokenizer_config.json"
    return "none"


def _count(value: object, otherwise: int = 0) -> int:
    return value if isinstance(value, int) else otherwise


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path.name} can't be read: {error}") from None
    if not isinstance(content, dict):
        raise StoreError(f"{path.name} is not a JSON object")
    return content  # pyright: ignore[reportUnknownVariableType]
