"""How the questions about a picture become rows of tokens."""

import random
import sys
from pathlib import Path

import jinja2

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from sight import data, heldout, questions, tokens

TOKENIZER = tokens.load()
ASKED = questions.Asked("colour", "What colour is the ring?", "blue")
SEEN = "<fake_token_around_image><global-img>" + "<image>" * tokens.SEES + "<fake_token_around_image>"


def written(messages: list[dict[str, object]], ask: bool) -> list[int]:
    text = jinja2.Template(tokens.TEMPLATE).render(messages=messages, add_generation_prompt=ask)
    return TOKENIZER.encode(text.replace("<image>", SEEN)).ids


def user(*parts: dict[str, str]) -> dict[str, object]:
    return {"role": "user", "content": list(parts)}


def test_a_training_row_is_what_the_template_writes() -> None:
    row = tokens.one(ASKED, TOKENIZER, 144)
    asked = user({"type": "text", "text": ASKED.question}, {"type": "image"})
    ids = written([asked], ask=True)
    assert list(row["ids"][: len(ids)]) == ids
    whole = written([asked, {"role": "assistant", "content": ASKED.answer}], ask=False)
    assert list(row["ids"][: row["block"].tolist().index(-1)]) == whole[:-1]


def test_a_picture_may_stand_before_or_behind_the_text() -> None:
    text, image = {"type": "text", "text": "What is this?"}, {"type": "image"}
    assert written([user(text, image)], ask=True) == written([user(image, text)], ask=True)


def test_only_answers_are_learnt() -> None:
    row = tokens.one(ASKED, TOKENIZER, 144)
    learnt = [int(row["ids"][at + 1]) for at in range(143) if row["learn"][at]]
    assert TOKENIZER.decode(learnt, skip_special_tokens=False) == "blue<end_of_utterance>"


def test_letters_of_a_word_and_digits_are_tokens_of_their_own() -> None:
    for text in ("KATE", "TH", "90210"):
        assert TOKENIZER.encode(text).tokens == list(text)
    assert TOKENIZER.encode('The word "KATE" in blue.').tokens[3:7] == list("KATE")


def test_any_text_survives_the_tokenizer() -> None:
    for text in ("Größe? 20 °C – naïve", "日本 🙂", "a\n\n  b\tc"):
        assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


def test_a_row_holds_blocks_that_start_where_the_picture_ends() -> None:
    for index in range(100):
        row = tokens.row(random.Random(index), data.scene("train", index), TOKENIZER, 160)
        block, positions = row["block"].tolist(), row["positions"].tolist()
        head = block.count(0)
        assert positions[:head] == list(range(head))
        assert max(block) >= 2
        for number in range(1, max(block) + 1):
            mine = [positions[at] for at in range(160) if block[at] == number]
            assert mine == list(range(head, head + len(mine)))


def test_every_held_out_question_fits_a_row() -> None:
    for kind in data.CLASSES:
        for _, asked in heldout.cases("heldout", kind, 100):
            tokens.one(asked, TOKENIZER, 144)
