"""The tokenizer (byte-level BPE, letters of printed words and digits one by one), the template, and how a
picture's questions become one row: the picture once, then blocks that see it but not each other."""

import random
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import data, questions

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
)
PAD, START, END, FAKE, IMAGE, GLOBAL = range(len(SPECIAL))
VOCABULARY = 768
SEES = 36
"""Tokens a picture takes."""
TEMPLATE = (
    "<|im_start|>{% for message in messages %}"
    "{% set gap = '' if message['role'] == 'assistant' else ' ' %}"
    "{{ message['role'] | capitalize }}:"
    "{% if message['content'] is string %}{{ gap + message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] in ('image', 'image_url') %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ gap + part['text'] }}{% endfor %}"
    "{% endif %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""In SmolVLM's manner, but the pictures of a message come first and an answer starts without a space."""
FILE = Path(__file__).parent / "tokenizer.json"


def learn(count: int = 6000) -> Tokenizer:
    """A tokenizer from the questions and answers of the first `count` training scenes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(r"Assistant:|\n|\d|[A-Z](?=[A-Z])|(?<=[A-Z])[A-Z]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    lines = [
        f"User: {asked.question}\nAssistant:{asked.answer}\n"
        for index in range(count)
        for asked in questions.ask(random.Random(f"{data.SEED}/tokens/{index}"), data.scene("train", index))
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def load() -> Tokenizer:
    return Tokenizer.from_file(str(FILE))


SYSTEM = ("You are a helpful assistant.", "You are a helpful assistant that sees images.", "Be brief.")


def row(
    dice: random.Random, scene: data.Scene, tokenizer: Tokenizer, length: int, eager: bool = False
) -> dict[str, np.ndarray]:
    """One scene as a row of `length` tokens: ids, positions, block (0 is what all see, -1 padding) and learn (1
    where the next token is to be learnt). eager: shapes are asked first, and so most often."""
    start = "<|im_start|>"
    if dice.random() < 0.05:
        start += f"System: {dice.choice(SYSTEM)}<end_of_utterance>\n"
    ids = tokenizer.encode(start + "User:").ids + [FAKE, GLOBAL] + [IMAGE] * SEES + [FAKE]
    head = len(ids)
    positions, block, learn = list(range(head)), [0] * head, [0] * head
    asked: list[questions.Asked] = []
    number = 0
    while True:
        turns = 2 if dice.random() < 0.15 else 1
        while len(asked) < turns:
            more = questions.ask(dice, scene)
            asked += sorted(more, key=lambda one: one.kind == "shape" and dice.random() < 0.7) if eager else more
        said, taught = _block(tokenizer, [asked.pop() for _ in range(turns)])
        if len(ids) + len(said) > length:
            break
        number += 1
        positions += range(head, head + len(said))
        block += [number] * len(said)
        learn += taught
        ids += said
    return _padded(length, ids, positions, block, learn)


def one(asked: questions.Asked, tokenizer: Tokenizer, length: int) -> dict[str, np.ndarray]:
    """A row with one question, as the template writes it."""
    ids = tokenizer.encode("<|im_start|>User:").ids + [FAKE, GLOBAL] + [IMAGE] * SEES + [FAKE]
    said, taught = _block(tokenizer, [asked])
    block = [0] * len(ids) + [1] * len(said)
    learn = [0] * len(ids) + taught
    return _padded(length, ids + said, list(range(len(block))), block, learn)


def _padded(length: int, *columns: list[int]) -> dict[str, np.ndarray]:
    fills = {"ids": PAD, "positions": 0, "block": -1, "learn": 0}
    return {
        name: np.array(column + [fill] * (length - len(column)), np.int64)
        for (name, fill), column in zip(fills.items(), columns, strict=True)
    }


def _block(tokenizer: Tokenizer, turns: list[questions.Asked]) -> tuple[list[int], list[int]]:
    ids: list[int] = []
    learn: list[int] = []
    for turn in turns:
        lead = "\nUser:" if ids else ""
        before = tokenizer.encode(f"{lead} {turn.question}<end_of_utterance>\nAssistant:").ids
        answer = [*tokenizer.encode(turn.answer).ids, END]
        ids += before + answer
        learn += [0] * (len(before) - 1) + [1] * len(answer) + [0]
    return ids, learn
