"""Run the weights of a GGUF file through transformers and write what it expects to tests/data/reference.

    python tools/reference.py MODEL.gguf NAME

Needs torch and transformers, which the project itself does not. Every tensor is dequantised to float32 as the
file says, so the answers are those of the quantised weights without further rounding. NAME.json holds

    sha256          of the GGUF file
    versions        of the libraries that made the file
    sequences       a list of: name, ids (the tokens given), top_ids and top_logprobs (for the position after
                    each token, the 20 most likely tokens and their log-probabilities, likeliest first), and
                    next_logprobs (for each token but the first, its log-probability after those before it)

and then the greedy answer to a question is printed, to be read by a person.
"""

import argparse
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

ROOT = Path(__file__).resolve().parent.parent
TOP = 20
LIMIT = 250_000
CONTROL, USER_DEFINED = 3, 4
QUESTION = "What is the capital of France?"
CHAT = [
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": "The capital of France is Paris."},
    {"role": "user", "content": "And what is it known for? Answer in two sentences."},
    {
        "role": "assistant",
        "content": "Paris is known for the Eiffel Tower, the Louvre and its long history of art, food and "
        "fashion. Millions of people visit the city every year.",
    },
]
PROSE = """\
The lighthouse keeper had lived on the island for thirty-one years before the first letter came. It was \
addressed to nobody in particular, written in a careful hand, and it asked only one question: how many ships \
had passed since the light was lit? He didn't know. He had never counted them. That evening he took down the \
old log book, turned to a clean page and drew a line for each sail he could see, and by the time the sun \
went down there were seven lines.
"""
CODE = '''\
from collections import Counter


def most_common_words(text: str, count: int = 10) -> list[tuple[str, int]]:
    """Return the most common words in a text, ignoring case."""
    words = text.lower().split()
    return Counter(words).most_common(count)


if __name__ == "__main__":
    with open("book.txt", encoding="utf-8") as file:
        for word, number in most_common_words(file.read(), 25):
            print(f"{word:>12} {number:5d}")
'''
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def rename(name: str) -> str:
    """The Hugging Face name of a GGUF tensor: blk.3.attn_q.bias is model.layers.3.self_attn.q_proj.bias."""
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blk."):
        return f"{NAMES[stem]}.{kind}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{kind}"


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Put the rows of llama's q or k back: GGUF has the two halves of each head interleaved."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def configure(reader: GGUFReader) -> LlamaConfig | Qwen2Config:
    """The configuration that the file's metadata describes."""
    arch = value(reader, "general.architecture")
    if any(".rope.scaling." in key for key in reader.fields):
        raise SystemExit("rope scaling is not handled here")
    heads = value(reader, f"{arch}.attention.head_count")
    hidden = value(reader, f"{arch}.embedding_length")
    kind = {"llama": LlamaConfig, "qwen2": Qwen2Config}[arch]
    config = kind(
        hidden_size=hidden,
        intermediate_size=value(reader, f"{arch}.feed_forward_length"),
        max_position_embeddings=value(reader, f"{arch}.context_length"),
        num_attention_heads=heads,
        num_hidden_layers=value(reader, f"{arch}.block_count"),
        num_key_value_heads=value(reader, f"{arch}.attention.head_count_kv"),
        rms_norm_eps=value(reader, f"{arch}.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": value(reader, f"{arch}.rope.freq_base")},
        tie_word_embeddings=all(tensor.name != "output.weight" for tensor in reader.tensors),
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
    )
    if f"{arch}.rope.dimension_count" in reader.fields:
        assert value(reader, f"{arch}.rope.dimension_count") == hidden // heads
    return config


def value(reader: GGUFReader, key: str) -> Any:
    """The metadata under `key`."""
    return reader.fields[key].contents()


@torch.inference_mode()
def build(reader: GGUFReader) -> Any:
    """The transformers model with every weight of the file in float32."""
    config = configure(reader)
    llama = isinstance(config, LlamaConfig)
    kind = LlamaForCausalLM if llama else Qwen2ForCausalLM
    model = kind._from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    missing = dict(model.named_parameters())  # tied weights are listed once
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if llama and tensor.name.endswith("attn_q.weight"):
            weight = unpermute(weight, config.num_attention_heads)
        if llama and tensor.name.endswith("attn_k.weight"):
            weight = unpermute(weight, config.num_key_value_heads)
        parameter = missing.pop(rename(tensor.name))
        assert parameter.shape == weight.shape, tensor.name
        parameter.copy_(torch.tensor(weight))
    if missing:
        raise SystemExit(f"the file has no weights for {', '.join(sorted(missing))}")
    return model


def tokenizer(reader: GGUFReader) -> Tokenizer:
    """The byte-level BPE that the file describes, with the splitting rules of its `pre`."""
    pieces, kinds = value(reader, "tokenizer.ggml.tokens"), value(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in value(reader, "tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges))
    made.decoder = decoders.ByteLevel()
    pre = value(reader, "tokenizer.ggml.pre")
    if pre == "smollm":
        split = pre_tokenizers.Digits(individual_digits=True)
        steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    elif pre == "qwen2":
        made.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated")
        steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        raise SystemExit(f"the splitting rules of {pre} are not known here; known are smollm and qwen2")
    made.pre_tokenizer = pre_tokenizers.Sequence(steps)
    for piece, kind in zip(pieces, kinds, strict=True):
        if kind == CONTROL:
            made.add_special_tokens([AddedToken(piece, special=True, normalized=False)])
        elif kind == USER_DEFINED:
            made.add_tokens([AddedToken(piece, normalized=False)])
    if made.get_vocab_size() != len(pieces):
        raise SystemExit("adding the special tokens made new ids")
    return made


def render(reader: GGUFReader, messages: list[dict[str, str]], prompt: bool) -> str:
    """The messages as the file's own chat template writes them, with its default system prompt."""
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = sandbox.from_string(value(reader, "tokenizer.chat_template"))
    return template.render(messages=messages, add_generation_prompt=prompt)


@torch.inference_mode()
def expect(model: Any, name: str, ids: list[int]) -> dict[str, Any]:
    """What the model expects after every token of one sequence."""
    logprobs = model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    top = logprobs.topk(TOP)
    following = logprobs[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return {
        "name": name,
        "ids": ids,
        "top_ids": top.indices.tolist(),
        "top_logprobs": [[round(number, 4) for number in row] for row in top.values.tolist()],
        "next_logprobs": [round(number, 4) for number in following.tolist()],
    }


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@torch.inference_mode()
def answer(model: Any, made: Tokenizer, text: str, end: int) -> str:
    """What the model says after `text` when it always takes the likeliest token."""
    batch = torch.tensor([made.encode(text, add_special_tokens=False).ids])
    mask = torch.ones_like(batch)
    how = {"do_sample": False, "max_new_tokens": 24, "eos_token_id": end, "pad_token_id": end}
    out = model.generate(batch, attention_mask=mask, **how)
    return made.decode(out[0, batch.shape[1] :].tolist(), skip_special_tokens=False)


def main() -> None:
    """Write the file of one model and print its answer."""
    parser = argparse.ArgumentParser(description="Write tests/data/reference with transformers.")
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    parser.add_argument("name", metavar="NAME", help="of the file to write, without .json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    reader = GGUFReader(given.model)
    model, made = build(reader), tokenizer(reader)
    texts = {"chat": render(reader, CHAT, False), "prose": PROSE, "code": CODE}
    sequences = []
    for name, text in texts.items():
        ids = made.encode(text, add_special_tokens=False).ids
        assert made.decode(ids, skip_special_tokens=False) == text
        sequences.append(expect(model, name, ids))
    libraries = ("torch", "transformers", "gguf", "tokenizers", "numpy")
    found = {
        "sha256": digest(given.model),
        "versions": {library: version(library) for library in libraries},
        "sequences": sequences,
    }
    text = json.dumps(found, separators=(",", ":")) + "\n"
    if len(text) > LIMIT:
        raise SystemExit(f"{len(text)} bytes, more than {LIMIT}")
    path = ROOT / "tests" / "data" / "reference" / f"{given.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for sequence in sequences:
        mean = sum(sequence["next_logprobs"]) / len(sequence["next_logprobs"])
        print(f"{sequence['name']}: {len(sequence['ids'])} tokens, mean log-probability {mean:.3f}")
    question = render(reader, [{"role": "user", "content": QUESTION}], True)
    said = answer(model, made, question, value(reader, "tokenizer.ggml.eos_token_id"))
    print(f"{path.name}: {len(text)} bytes; {QUESTION} {said!r}")


if __name__ == "__main__":
    main()
