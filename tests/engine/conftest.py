import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import seeing
import tiny
from tertulia import config
from tertulia.engine.batch import BLOCK, Batch
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.engine import Engine
from tertulia.engine.model import Model

MEBI = 1 << 20


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, written when it is first asked for."""
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def write(name: str) -> Path:
        (seeing if name in seeing.TEMPLATES else tiny).write(name, root / name)
        return root / name

    return write


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a tiny model as a GGUF file, its matrices encoded as ``kind``."""
    root = tmp_path_factory.mktemp("packed")

    @cache
    def write(name: str, kind: str = "F32") -> Path:
        folder = root / f"{name}-{kind}"
        folder.mkdir()
        _pack(name, folder / "model.gguf", kind)
        return folder

    return write


_PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def _pack(name: str, path: Path, kind: str) -> None:
    """What llama.cpp's converter does: its names, llama's q and k with their rows interleaved, the vocabulary filled up
    to the rows of the embedding, rope scaling as divisors of the frequencies."""
    settings, family = tiny.CONFIGS[name], tiny.CONFIGS[name]["model_type"]
    heads = {"q": settings["num_attention_heads"], "k": settings["num_key_value_heads"]}
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(settings["num_hidden_layers"])
    writer.add_context_length(settings["max_position_embeddings"])
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_head_count(heads["q"])
    writer.add_head_count_kv(heads["k"])
    writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
    writer.add_rope_freq_base(settings["rope_theta"])
    if "head_dim" in settings:
        writer.add_key_length(settings["head_dim"])
    words = sorted(tiny.tokenizer().get_vocab(with_added_tokens=True).items(), key=lambda pair: pair[1])
    spare = [f"[PAD{index}]" for index in range(len(words), settings["vocab_size"])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([word for word, _ in words] + spare)
    kinds = [3 if word in tiny.SPECIALS else 1 for word, _ in words] + [5] * len(spare)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in tiny.merges()])
    writer.add_eos_token_id(tiny.IM_END)
    writer.add_bos_token_id(tiny.IM_START)
    named = {"default": tiny.TEMPLATE, "tool_use": tiny.TOOL_TEMPLATE}
    writer.add_chat_template([{"name": key, "template": template} for key, template in named.items()])
    for label, tensor in tiny.tensors(name).items():
        stem, _, ending = label.rpartition(".")
        if stem in _TOP:
            new = _TOP[stem]
        else:
            _, _, layer, part = stem.split(".", 3)
            new = f"blk.{layer}.{_PARTS[part]}"
            if family == "llama" and part[-6:] in ("q_proj", "k_proj"):
                count = heads[part[-6]]
                rows = tensor.reshape(count, 2, len(tensor) // count // 2, -1)
                tensor = np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(tensor.shape)
        encoding = gguf.GGMLQuantizationType[kind if tensor.ndim == 2 else "F32"]
        writer.add_tensor(f"{new}.{ending}", gguf.quantize(tensor, encoding), raw_dtype=encoding)
    if settings.get("rope_scaling"):
        writer.add_tensor("rope_freqs.weight", _llama3(settings))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _llama3(settings: dict[str, Any]) -> np.ndarray:
    """Llama 3's rope scaling, frequency by frequency, as the paper's authors wrote it."""
    scaling, factors = settings["rope_scaling"], []
    size = settings.get("head_dim", settings["hidden_size"] // settings["num_attention_heads"])
    for place in range(0, size, 2):
        wave = 2 * math.pi * settings["rope_theta"] ** (place / size)
        length, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        if wave < length / scaling["high_freq_factor"]:
            factors.append(1.0)
        elif wave > length / scaling["low_freq_factor"]:
            factors.append(factor)
        else:
            span = scaling["high_freq_factor"] - scaling["low_freq_factor"]
            smooth = (length / wave - scaling["low_freq_factor"]) / span
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


@pytest.fixture(scope="session")
def model(folder: Callable[[str], Path]) -> Callable[..., Model]:
    """A tiny model: with float weights and no rounding, or as it is served by default."""

    @cache
    def load(name: str, rounding: bool = True, exact: bool = False) -> Model:
        checkpoint = open_checkpoint(folder(name), "int8" if rounding else "f32")
        return Model(checkpoint, kv=8 * MEBI, threads=2, rounding=rounding, exact=exact)

    return load


@pytest.fixture(scope="session")
def steady(model: Callable[..., Model]) -> dict[str, bool]:
    """The settings with which a token is the same alone and in a crowd: by default, or where this CPU's kernels add up
    one row in another order, only with `exact`."""
    return {} if model("smollm2")._one else {"exact": True}


Part = tuple[Sequence[int], int, Sequence[int]]
"""Tokens, how many of their sequence came before, and the sequence's blocks."""


@pytest.fixture(scope="session")
def feed() -> Callable[..., np.ndarray]:
    """One pass over some parts: the logits after the last token of each, or after the tokens of ``rows``."""

    def forward(
        model: Model, parts: list[Part], rows: Sequence[int] | None = None, positions: Sequence[int] | None = None
    ) -> np.ndarray:
        begins = np.cumsum([0, *(len(ids) for ids, _, _ in parts)]).astype(np.int32)
        held = [list(blocks[: -(-(past + len(ids)) // BLOCK)]) for ids, past, blocks in parts]
        places = [place for ids, past, _ in parts for place in range(past, past + len(ids))]
        batch = Batch(
            tokens=np.array([token for ids, _, _ in parts for token in ids], np.int64),
            positions=np.array(places if positions is None else positions, np.int64),
            past=np.array([past for _, past, _ in parts], np.int32),
            begins=begins,
            blocks=np.array([block for blocks in held for block in blocks], np.int32),
            block_begins=np.cumsum([0, *map(len, held)]).astype(np.int32),
            sampled=np.array(begins[1:] - 1 if rows is None else rows, np.int64),
            longest=max(past + len(ids) for ids, past, _ in parts),
        )
        return model.forward(batch).copy()

    return forward


@pytest.fixture
async def start(folder: Callable[[str], Path]) -> AsyncIterator[Callable[..., Awaitable[Engine]]]:
    """Start an engine over a tiny model; it is ended with the test, and all its blocks must be back by then."""
    engines: list[Engine] = []

    async def load(name: str = "smollm2", images: config.Images | None = None, **settings: Any) -> Engine:
        chosen = config.Engine(**({"kv": 8 * MEBI, "threads": 2} | settings))
        engine = await Engine.load(
            folder(name), name=f"tiny/{name}", digest="0123456789abcdef", settings=chosen, images=images
        )
        engines.append(engine)
        return engine

    yield load
    for engine in engines:
        await engine.aclose()
        assert engine._blocks.available == engine._blocks.count, "blocks were lost"
