"""Text to tokens and back, from both kinds of vocabulary."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import tiny
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.tokens import Detokenizer, Tokens, _from_gguf, open_tokens
from tertulia.errors import BadRequest, StoreError

REAL = Tokens(tiny.tokenizer())
FAMILY, FLAG, THUMB = "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1f5\U0001f1f9", "\U0001f44d\U0001f3fd"
AWKWARD = [
    FAMILY,
    FLAG,
    THUMB,
    "é",
    "e\u0301",
    "ção",
    "日本語",
    "한국",
    "\u200d",
    "\ufe0f",
    " ",
    "\n",
    "the",
    "\0",
    "ß",
]
texts = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=5), max_size=12).map("".join)


def told(tokens: Tokens, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokens)
    return [detokenizer.feed(token) for token in ids]


def pieces(parts: list[bytes]) -> Any:
    """A vocabulary of just these bytes."""
    return SimpleNamespace(special=frozenset(), piece=parts.__getitem__)


@given(text=texts, cuts=st.lists(st.integers(0, 200), max_size=40))
def test_no_half_character_is_told_however_the_bytes_are_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[begin:end] for begin, end in pairwise(places)]
    out = told(pieces(parts), list(range(len(parts))))
    assert "".join(out) == text
    reach, said = 0, ""
    for part, piece in zip(parts, out, strict=True):
        reach += len(part)
        known = data[:reach].decode(errors="ignore")
        said += piece
        assert known == said, "a character is told late"


@given(text=texts)
def test_each_character_is_told_with_its_last_byte(text: str) -> None:
    data = text.encode()
    out = told(pieces([bytes([byte]) for byte in data]), list(range(len(data))))
    assert [piece for piece in out if piece] == list(text)


@given(text=texts)
def test_what_is_told_is_what_the_tokenizer_decodes(text: str) -> None:
    ids = REAL.encode(text)
    out = told(REAL, ids)
    assert "".join(out) == text == tiny.tokenizer().decode(ids, skip_special_tokens=True)


@given(ids=st.lists(st.integers(0, tiny.VOCAB + 20), max_size=30))
def test_any_tokens_at_all_give_the_text_of_their_bytes(ids: list[int]) -> None:
    """A model may say anything: what can be no character becomes U+FFFD, and only a beginning of one is held back."""
    data = b"".join(REAL.piece(token) for token in ids if token not in REAL.special)
    whole, said = data.decode(errors="replace"), "".join(told(REAL, ids))
    assert whole.startswith(said)
    assert len(whole) - len(said) <= 1
    assert whole == said or whole.endswith("\ufffd")


def test_special_tokens_are_never_seen() -> None:
    ids = REAL.encode("<|im_start|>the<|im_end|>")
    assert ids[0] == tiny.IM_START
    assert ids[-1] == tiny.IM_END
    assert "".join(told(REAL, ids)) == "the"
    assert REAL.special == {tiny.END_OF_TEXT, tiny.IM_START, tiny.IM_END}


def test_a_special_token_within_a_character_does_not_break_it() -> None:
    first, second = REAL.encode("é")
    assert told(REAL, [first, tiny.IM_END, second]) == ["", "", "é"]


def test_a_token_that_has_no_name_is_no_text() -> None:
    assert REAL.piece(tiny.VOCAB + 5) == b""
    assert REAL.word(tiny.VOCAB + 5) == ""


def test_a_word_is_shown_as_people_write_it() -> None:
    space, the = REAL.encode(" the")
    assert [REAL.word(space), REAL.word(the)] == [" ", "the"]
    assert REAL.piece(the) == b"the"
    assert REAL.word(tiny.IM_END) == "<|im_end|>"
    first, _ = REAL.encode("é")
    assert REAL.word(first) == "\ufffd"
    assert REAL.piece(first) == b"\xc3"


def test_encoding_adds_no_token_of_its_own() -> None:
    assert REAL.encode("") == []
    assert len(REAL.encode("a")) == 1


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        REAL.encode("a\ud83d")


def test_a_vocabulary_of_pieces_and_byte_tokens_is_read() -> None:
    """As llama 2 and mistral have it: U+2581 for the space, <0x..> for what the vocabulary lacks."""
    words = ["<unk>", "<s>", "</s>", "<0xE2>", "<0x82>", "<0xAC>", "▁", "▁a", "b", "日"]
    made = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, [], byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens(["<s>", "</s>"])
    assert told(Tokens(made), [1, 8, 7, 3, 4, 5, 9, 2]) == ["", "b", " a", "", "", "€", "日", ""]


@pytest.mark.parametrize("name", ["smollm2", "qwen2.5"])
@given(text=texts)
def test_a_vocabulary_from_gguf_is_that_of_tokenizer_json(
    name: str, folder: Callable[[str], Path], packed: Callable[..., Path], text: str
) -> None:
    from functools import cache

    both = cache(lambda path: open_tokens(open_checkpoint(path)))
    text = f"<|im_start|>{text}<|im_end|>"
    assert both(packed(name)).encode(text) == both(folder(name)).encode(text)


def metadata(pre: str, **values: Any) -> dict[str, Any]:
    words = sorted(tiny.tokenizer().get_vocab(with_added_tokens=True).items(), key=lambda pair: pair[1])
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [word for word, _ in words],
        "tokenizer.ggml.token_type": [3 if word in tiny.SPECIALS else 1 for word, _ in words],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tiny.merges()],
    } | values


@pytest.mark.parametrize("pre", ["gpt-2", "default", "smollm", "qwen2", "llama-bpe", "deepseek-r1-qwen", "llama3"])
@given(text=texts)
def test_every_way_of_cutting_text_up_loses_nothing(pre: str, text: str) -> None:
    import unicodedata

    tokens = Tokens(_from_gguf(metadata(pre)))
    kept = unicodedata.normalize("NFC", text) if "qwen" in pre else text
    assert "".join(told(tokens, tokens.encode(text))) == kept


def cut(pre: str, text: str) -> list[str]:
    """The words that text is cut into before merging."""
    return [text[begin:end] for _, (begin, end) in _from_gguf(metadata(pre)).pre_tokenizer.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("gpt-2", ["It", "'s", " 2024", "  ", " a", "'", "S", "\n", "\n", "x"]),
        ("smollm", ["It", "'s", " ", "2", "0", "2", "4", "  ", " a", "'", "S", "\n", "\n", "x"]),
        ("qwen2", ["It", "'s", " ", "2", "0", "2", "4", "  ", " a", "'S", "\n\n", "x"]),
        ("llama-bpe", ["It", "'s", " ", "202", "4", "  ", " a", "'S", "\n\n", "x"]),
    ],
)
def test_text_is_cut_up_as_the_models_learnt_it(pre: str, words: list[str]) -> None:
    """Digits above all: one by one, by threes, or as they come."""
    assert cut(pre, "It's 2024   a'S\n\nx") == words


def test_tokens_that_users_define_are_seen_and_found_whole() -> None:
    data = metadata("gpt-2")
    data["tokenizer.ggml.tokens"] = [*data["tokenizer.ggml.tokens"], "<tool_call>"]
    data["tokenizer.ggml.token_type"] = [*data["tokenizer.ggml.token_type"], 4]
    tokens = Tokens(_from_gguf(data))
    assert tokens.encode("<tool_call>") == [tiny.VOCAB]
    assert told(tokens, [tiny.VOCAB]) == ["<tool_call>"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tokenizer.ggml.model": "llama"}, "'llama'.*tokenizer.json"),
        ({"tokenizer.ggml.pre": "tekken"}, "'tekken'.*tokenizer.json"),
    ],
    ids=["kind", "cut"],
)
def test_a_vocabulary_that_is_not_read_here_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError, match=words):
        _from_gguf(metadata("gpt-2") | values)


def test_a_folder_without_tokenizer_json_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    from dataclasses import replace

    opened = open_checkpoint(folder("smollm2"))
    with pytest.raises(StoreError, match=r"no tokenizer\.json"):
        open_tokens(replace(opened, tokenizer=tmp_path / "tokenizer.json"))
