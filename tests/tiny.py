"""Tiny models with random weights and the config shapes of real ones; nothing of them is committed.

The weights come from a counter (splitmix64, then Box-Muller), so they are the same under every version of
every library. They are scaled so that single attention scores reach 10 and more: what a graph does wrong with
large scores shows, and the next token depends on the whole context and not on the last token alone.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

WORDS = (
    "the and ing of is to in that it for was on are with as be this from or what when there "
    "def return self import class print range True"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL_TEMPLATE = TEMPLATE + "{# for requests with tools #}"


def merges() -> list[tuple[str, str]]:
    """The merges that build the words of WORDS from the left, each also with a space before it."""
    pairs: dict[tuple[str, str], None] = {}
    for word in WORDS.split():
        for spelled in (word, "\u0120" + word):  # U+0120 stands for the space in byte-level BPE
            for end in range(1, len(spelled)):
                pairs[spelled[:end], spelled[end]] = None
    return list(pairs)


VOCAB = 256 + len(merges()) + len(SPECIALS)
"""How many tokens the tokenizer has; the configs have more rows than that, as many real ones do."""
END_OF_TEXT, IM_START, IM_END = range(VOCAB - len(SPECIALS), VOCAB)


def llama(**values: Any) -> dict[str, Any]:
    """A llama `config.json` of two layers with `values` on top."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": IM_START,
        "eos_token_id": IM_END,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "mlp_bias": False,
        "model_type": "llama",
        "num_hidden_layers": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "torch_dtype": "float32",
        "use_cache": True,
    } | values


def qwen2(**values: Any) -> dict[str, Any]:
    """A qwen2 `config.json` of two layers with `values` on top; its sliding window is not in use."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": END_OF_TEXT,
        "eos_token_id": IM_END,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_window_layers": 21,
        "model_type": "qwen2",
        "num_hidden_layers": 2,
        "rms_norm_eps": 1e-06,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
    } | values


def llama3(factor: float) -> dict[str, Any]:
    """The rope scaling of Llama 3.1 and later, stretched `factor` times."""
    return {
        "factor": factor,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "smollm2": llama(
        hidden_size=576,
        intermediate_size=1536,
        max_position_embeddings=8192,
        num_attention_heads=9,
        num_key_value_heads=3,
        rope_theta=100000,
        tie_word_embeddings=True,
        vocab_size=512,
    ),
    "llama3.2": llama(
        eos_token_id=[END_OF_TEXT, IM_END],
        head_dim=64,
        hidden_size=512,
        intermediate_size=2048,
        max_position_embeddings=131072,
        num_attention_heads=8,
        num_key_value_heads=2,
        rope_scaling=llama3(32.0),
        rope_theta=500000.0,
        tie_word_embeddings=True,
        vocab_size=416,
    ),
    "llama3.1": llama(
        eos_token_id=[END_OF_TEXT, IM_END],
        hidden_size=512,
        intermediate_size=1792,
        max_position_embeddings=131072,
        num_attention_heads=4,
        num_key_value_heads=1,
        rope_scaling=llama3(8.0),
        rope_theta=500000.0,
        tie_word_embeddings=False,
        vocab_size=416,
    ),
    "qwen2.5": qwen2(
        hidden_size=896,
        intermediate_size=1216,
        max_position_embeddings=32768,
        num_attention_heads=14,
        num_key_value_heads=2,
        rope_theta=1000000.0,
        sliding_window=32768,
        tie_word_embeddings=True,
        vocab_size=512,
    ),
    "r1-distill-qwen": qwen2(
        hidden_size=768,
        intermediate_size=1120,
        max_position_embeddings=131072,
        num_attention_heads=6,
        num_key_value_heads=1,
        rope_theta=10000,
        sliding_window=4096,
        tie_word_embeddings=False,
        use_mrope=False,
        vocab_size=512,
    ),
}


def bits(key: str, count: int) -> np.ndarray:
    """`count` random 64-bit numbers (splitmix64) that depend on `key` and on nothing else."""
    seed = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    state = seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def normals(key: str, *shape: int) -> np.ndarray:
    """Normally distributed float64 numbers of that shape (Box-Muller over `bits`)."""
    count = math.prod(shape)
    half = (count + 1) // 2
    uniform = (bits(key, 2 * half) >> np.uint64(11)) * 2.0**-53  # in [0, 1)
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform[:half]))
    angle = 2.0 * np.pi * uniform[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].reshape(shape)


def tokens(name: str, count: int) -> list[int]:
    """A fixed sequence of `count` token ids, none of them special, for the model `name`."""
    return [int(value) for value in bits(f"{name} tokens", count) % np.uint64(VOCAB - len(SPECIALS))]


def tensors(name: str, config: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
    """The weights of the model `name` in float32, under the names they have in a Hugging Face checkpoint."""
    config = config or CONFIGS[name]
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim", hidden // heads)
    out: dict[str, np.ndarray] = {}

    def draw(tensor: str, scale: float, *shape: int, shift: float = 0.0) -> None:
        """Add a tensor of mean `shift` and deviation `scale`."""
        out[tensor] = (shift + scale * normals(f"{name} {tensor}", *shape)).astype(np.float32)

    unit = hidden**-0.5  # rows of this deviation turn a normalised vector into numbers of deviation 1
    draw("model.embed_tokens.weight", 3 * unit, vocab, hidden)  # tied, this makes logits of deviation 3
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        draw(f"{block}.input_layernorm.weight", 0.2, hidden, shift=1.0)
        draw(f"{block}.post_attention_layernorm.weight", 0.2, hidden, shift=1.0)
        parts = (("q", heads, 1.8, 1.0), ("k", kv_heads, 1.8, 2.0), ("v", kv_heads, 1.0, 0.5))
        for part, rows, scale, bias in parts:
            draw(f"{block}.self_attn.{part}_proj.weight", scale * unit, rows * head, hidden)
            if config["model_type"] == "qwen2":
                draw(f"{block}.self_attn.{part}_proj.bias", bias, rows * head)
        # What the layers add outweighs the embedding: otherwise tied weights answer with the token they got.
        draw(f"{block}.self_attn.o_proj.weight", 12 * unit * (heads * head) ** -0.5, hidden, heads * head)
        draw(f"{block}.mlp.gate_proj.weight", unit, inner, hidden)
        draw(f"{block}.mlp.up_proj.weight", unit, inner, hidden)
        draw(f"{block}.mlp.down_proj.weight", 40 * unit * inner**-0.5, hidden, inner)
    draw("model.norm.weight", 0.2, hidden, shift=1.0)
    if not config["tie_word_embeddings"]:
        draw("lm_head.weight", 3 * unit, vocab, hidden)
    return out


def tokenizer() -> Any:
    """A byte-level BPE (`tokenizers.Tokenizer`) that can encode any text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    pairs = merges()
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in pairs)]
    made = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=pairs))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(special, special=True, normalized=False) for special in SPECIALS])
    return made


def write(name: str, folder: Path) -> None:
    """Write the model `name` to `folder` as a Hugging Face checkpoint of one safetensors file."""
    from safetensors.numpy import save_file

    config = CONFIGS[name]
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    settings = {
        "added_tokens_decoder": {
            str(VOCAB - len(SPECIALS) + index): {"content": special, "special": True}
            for index, special in enumerate(SPECIALS)
        },
        "bos_token": None,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": config["max_position_embeddings"],
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, value in (
        ("config.json", config),
        ("generation_config.json", ends),
        ("tokenizer_config.json", settings),
    ):
        (folder / file).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    tokenizer().save(str(folder / "tokenizer.json"))
    save_file(tensors(name), folder / "model.safetensors", metadata={"format": "pt"})
