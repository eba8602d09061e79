"""Text to token ids and back.

Back is a table: each id stands for some bytes, so text is decoded as UTF-8 as the bytes come, and a character is told
when its last byte is there.
"""

import codecs
from functools import lru_cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tertulia.engine.checkpoint import Checkpoint
from tertulia.errors import BadRequest, StoreError


class Tokens:
    """A model's vocabulary. ``added`` are the tokens that are no pieces of words, by their ids; those that are
    ``special`` never show in text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self.special = frozenset(index for index, token in added.items() if token.special)
        self.added = {index: token.content.encode() for index, token in added.items()}
        self._byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel) or "ByteLevel" in repr(tokenizer.decoder)
        self.piece = lru_cache(1 << 16)(self._piece)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``. Special tokens are read where they are spelt out; none is added. Releases the GIL."""
        try:
            return self._tokenizer.encode(text, add_special_tokens=False).ids
        except TypeError:
            raise BadRequest(
                "the messages hold half a surrogate pair, which is no character", param="messages"
            ) from None

    def source(self) -> str:
        """The tokenizer as the JSON of a tokenizer.json."""
        return self._tokenizer.to_str()

    def word(self, token: int) -> str:
        """The token as people write it, for log-probabilities; half a character shows as U+FFFD."""
        return self.piece(token).decode("utf-8", "replace")

    def _piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for an id that the vocabulary doesn't name."""
        if token in self.added:
            return self.added[token]
        word: str | None = self._tokenizer.id_to_token(token)
        if word is None:
            return b""
        if self._byte_level:
            return bytes(_BYTES.get(letter, 63) for letter in word)
        if len(word) == 6 and word.startswith("<0x") and word.endswith(">"):
            return bytes([int(word[3:5], 16)])
        return word.replace("▁", " ").encode()


class Detokenizer:
    """Text out of one sequence's tokens, never half a character. Special tokens don't show, but those of ``shown``."""

    def __init__(self, tokens: Tokens, shown: frozenset[int] = frozenset()) -> None:
        self._tokens = tokens
        self._hidden = tokens.special - shown if shown else tokens.special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def whole(self) -> bool:
        """Whether no character is half told."""
        return not self._decoder.getstate()[0]

    def feed(self, token: int) -> str:
        """The text that ``token`` completes."""
        return "" if token in self._hidden else self._decoder.decode(self._tokens.piece(token))


def _byte_letters() -> dict[str, int]:
    """GPT-2's spelling of bytes as printable letters: its own letter where a byte has one, else one from 256 up."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in own]
    letters = {chr(byte): byte for byte in own}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_letters()


def open_tokens(checkpoint: Checkpoint) -> Tokens:
    """The vocabulary of a model: its tokenizer.json, or what a GGUF file says of it.

    Raises StoreError when there is none or it is of a kind that is not read here.
    """
    if checkpoint.tokenizer is not None and not checkpoint.tokenizer.is_file():
        raise StoreError(f"{checkpoint.tokenizer.parent} has no tokenizer.json")
    try:
        if checkpoint.tokenizer is None:
            return Tokens(_from_gguf(checkpoint.metadata))
        return Tokens(Tokenizer.from_file(str(checkpoint.tokenizer)))
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises nothing narrower
        raise StoreError(f"the model's vocabulary can't be read: {error}") from None


_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {"qwen2": _LETTERS + r"\p{N}" + _REST, "llama-bpe": _LETTERS + r"\p{N}{1,3}" + _REST}
_SPLITS["deepseek-r1-qwen"] = _SPLITS["qwen2"]
_SPLITS["llama3"] = _SPLITS["smaug-bpe"] = _SPLITS["llama-bpe"]


def _from_gguf(data: dict[str, Any]) -> Tokenizer:
    """A byte-level BPE tokenizer from GGUF metadata; ``tokenizer.ggml.pre`` names how text is cut up first."""
    kind, cut = data.get("tokenizer.ggml.model"), data.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2":
        raise StoreError(
            f"a GGUF vocabulary of the kind '{kind}' can't be read; pull the repository with tokenizer.json"
        )
    words: list[str] = data["tokenizer.ggml.tokens"]
    kinds: list[int] = data.get("tokenizer.ggml.token_type", [1] * len(words))
    pairs: list[tuple[str, str]] = [tuple(pair.split(" ", 1)) for pair in data["tokenizer.ggml.merges"]]  # pyright: ignore[reportAssignmentType]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=_SPLITS.get(cut) == _SPLITS["llama-bpe"]))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut not in _SPLITS)
    if cut in _SPLITS:
        first: Any = pre_tokenizers.Split(Regex(_SPLITS[cut]), "isolated")
    elif cut in ("smollm", "default", "gpt-2"):
        first = pre_tokenizers.Digits(individual_digits=True) if cut == "smollm" else None
    else:
        raise StoreError(f"a GGUF vocabulary cut up by '{cut}' can't be read; pull the repository with tokenizer.json")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, byte_level]) if first else byte_level
    if cut in ("qwen2", "deepseek-r1-qwen"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    control = [words[index] for index, kind in enumerate(kinds) if kind == 3]
    named = [words[index] for index, kind in enumerate(kinds) if kind == 4]
    untyped: Any = tokenizer
    untyped.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    untyped.add_tokens([AddedToken(word, special=False, normalized=False) for word in named])
    return tokenizer
