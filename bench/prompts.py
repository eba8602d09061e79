"""What is asked. Every prompt begins with a number of its own, so that none finds another's first block cached."""

from itertools import count
from pathlib import Path

from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.template import Template
from tertulia.engine.tokens import Tokens, open_tokens
from tertulia.types import ChatRequest, Message

_THINGS = ("the sea", "a bridge", "old clocks", "bread", "a chess game", "the moon", "rivers", "glass", "a violin")
_WORDS = (
    "the",
    "ship",
    "sails",
    "on",
    "over",
    "dark",
    "water",
    "while",
    "its",
    "captain",
    "counts",
    "stars",
    "and",
    "home",
)


_serial = count(1)


def short(number: int) -> list[str]:
    """``number`` questions that come to some fifty tokens with SmolLM2's template."""
    return [
        f"{next(_serial):05}: write a long and detailed story about {_THINGS[index % len(_THINGS)]}, then explain it."
        for index in range(number)
    ]


def long(words: int) -> str:
    """A text of about as many tokens as ``words``."""
    told = (_WORDS[(place * place + place // 7) % len(_WORDS)] for place in range(words))
    return f"{next(_serial):05}: " + " ".join(told)


class Words:
    """A model's template and vocabulary: what token ids a question comes to, and what text ids stand for."""

    def __init__(self, folder: Path) -> None:
        checkpoint = open_checkpoint(folder)
        self._template = Template(checkpoint.template, checkpoint.special)
        self._tokens: Tokens = open_tokens(checkpoint)

    def ids(self, text: str) -> list[int]:
        request = ChatRequest(messages=[Message(role="user", content=text)])
        return self._tokens.encode(self._template.render(request).text)

    def text(self, ids: list[int]) -> str:
        pieces = [self._tokens.piece(token) for token in ids if token not in self._tokens.special]
        return b"".join(pieces).decode("utf-8", "replace")
