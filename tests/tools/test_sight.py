"""The data of the model that sees: the same everywhere, and held-out things never in training."""

import random
import re
import sys
from functools import cache
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from sight import data, heldout, questions  # noqa: E402

COUNT = 1500


@cache
def asked_all(split: str, kind: str) -> list[tuple[data.Scene, questions.Asked]]:
    return list(heldout.cases(split, kind, heldout.COUNT if split == "heldout" else 100))


@cache
def train_scenes() -> list[data.Scene]:
    return [data.scene("train", index, about) for index in range(COUNT) for about in ("", "dense")]


def pairs(scenes: list[data.Scene]) -> set[tuple[str, str]]:
    return {(thing.name, thing.colour) for scene in scenes for thing in scene.shapes}


def strings(scenes: list[data.Scene]) -> set[str]:
    return {thing.name for scene in scenes for thing in scene.texts if len(thing.name) > 1}


def test_a_scene_is_the_same_every_time() -> None:
    assert data.scene("train", 7) == data.scene("train", 7)
    assert data.scene("train", 7).things != data.scene("train", 8).things


def test_the_held_out_questions_are_those_that_were_committed() -> None:
    assert heldout.facts() == heldout.written()["facts"]


def test_training_shows_no_pair_string_or_font_of_the_other_splits() -> None:
    seen = train_scenes()
    for split in ("valid", "heldout"):
        others = [scene for kind in data.CLASSES for scene, _ in asked_all(split, kind)]
        assert not pairs(seen) & set(data.own(split))
        assert not strings(seen) & strings(others)
        faces = {thing.font for scene in others for thing in scene.texts}
        assert faces
        assert not faces & {thing.font for scene in seen for thing in scene.texts}


def test_the_validation_split_shares_nothing_of_its_own_with_the_held_out_one() -> None:
    assert not set(data.own("valid")) & set(data.own("heldout"))
    assert not set(data.families()["valid"]) & set(data.families()["heldout"])
    kinds = {split: [scene for scene, _ in asked_all(split, "word")] for split in ("valid", "heldout")}
    assert not strings(kinds["valid"]) & strings(kinds["heldout"])


def test_no_family_stands_in_two_splits() -> None:
    names = [name for split in data.SPLITS for name in data.families()[split]]
    assert len(names) == len(set(names)) > 90


def test_training_shows_every_other_pair_and_every_glyph() -> None:
    seen = train_scenes()
    assert pairs(seen) == set(data.pairs("train"))
    assert {glyph for text in strings(seen) for glyph in text} == set(data.LETTERS + data.DIGITS)


@pytest.mark.parametrize("kind", ["colour", "shape", "count", "position"])
def test_a_held_out_question_is_about_a_pair_that_training_never_shows(kind: str) -> None:
    for scene, asked in asked_all("heldout", kind):
        first = scene.things[0]
        assert (first.name, first.colour) in data.HELDOUT_PAIRS
        assert asked.answer in {"colour": [first.colour], "shape": [first.name], "position": [first.zone]}.get(
            kind, list("12345")
        )


def test_a_held_out_word_and_number_is_a_string_that_training_never_shows() -> None:
    for kind in ("word", "number"):
        for _, asked in asked_all("heldout", kind):
            assert re.fullmatch("[A-Z]{2,5}|[0-9]{2,5}", asked.answer)
            assert data.owner(asked.answer) == "heldout"


def test_there_are_500_questions_a_class_in_many_wordings() -> None:
    for kind in data.CLASSES:
        asked = [asked.question for _, asked in asked_all("heldout", kind)]
        assert len(asked) == 500
        assert len(set(asked)) > 20


def test_a_place_is_only_named_where_it_is_beyond_doubt() -> None:
    def at(x: float, y: float) -> str:
        return data.Thing("circle", "red", (255, 0, 0), x, y, 20, 0).zone

    assert at(12, 12) == "top left"
    assert at(48, 80) == "bottom"
    assert at(31, 12) == ""


def test_each_fact_asked_of_a_scene_is_true_of_it() -> None:
    for index in range(300):
        scene = data.scene("train", index)
        for asked in questions.ask(random.Random(index), scene):
            if asked.kind == "count" and "shapes" in asked.question and asked.answer.isdigit():
                colours = [name for name in data.COLOURS if name in asked.question]
                counted = [thing for thing in scene.shapes if not colours or thing.colour in colours]
                assert int(asked.answer) == len(counted)
            if asked.kind == "word" and asked.answer.isupper():
                assert [asked.answer] == [thing.name for thing in scene.texts]


def test_a_picture_is_drawn_the_same_twice_and_shows_what_its_map_says() -> None:
    pytest.importorskip("PIL", reason="drawing needs Pillow")
    pytest.importorskip("numpy")
    from sight import draw

    scene = next(scene for scene in (data.scene("train", at) for at in range(100)) if not scene.texts)
    pixels, truth = draw.draw(scene)
    assert pixels.shape == (data.SIDE, data.SIDE, 3)
    assert (pixels == draw.draw(scene)[0]).all()
    thing = scene.things[-1]
    row, column = int(thing.y / draw.PATCH), int(thing.x / draw.PATCH)
    assert truth[2, row, column] == data.SHAPES.index(thing.name) + 1
    if thing.name != "ring":
        assert abs(pixels[int(thing.y), int(thing.x)].astype(int) - thing.rgb).max() < 80


@pytest.mark.timeout(300)
def test_the_held_out_pictures_are_those_that_were_committed() -> None:
    pytest.importorskip("PIL", reason="drawing needs Pillow")
    from sight import draw

    if not all((draw.FONTS / path).exists() for path in data.faces("heldout")):
        pytest.skip("the packages of tools/sight/fonts.txt are not installed; SIGHT_FONTS says where they are unpacked")
    assert heldout.pixels() == heldout.written()["pixels"]
