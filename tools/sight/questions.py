"""What can be asked of a scene, in many wordings, and the answer to each. Pure, and random only by the dice given.

    asked = questions.ask(dice, scene)               every kind of question the scene allows, once
    one = questions.about(dice, scene, "colour")     one question of a class, about what only the split shows

An answer is short ("red", "top left", "KATE", "3"), a sentence where the question asks for one or for a
description, JSON where it asks for that.
"""

import json
import random
from dataclasses import dataclass

from . import data

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
POLITE = ("Please tell me: ", "Look at the picture. ", "Look at the image. ", "Tell me, ", "Can you see? ", "Hi! ")
WORDINGS: dict[str, tuple[str, ...]] = {
    "colour": (
        "What {colour} is the {x}?",
        "Which {colour} is the {x}?",
        "What is the {colour} of the {x}?",
        "The {x} is what {colour}?",
        "Tell me the {colour} of the {x}.",
        "Name the {colour} of the {x}.",
        "What {colour} does the {x} have?",
        "In which {colour} is the {x} drawn?",
        "{Colour} of the {x}?",
        "Is the {x} red, blue or what?",
    ),
    "shape": (
        "What shape is {x}?",
        "Which shape is {x}?",
        "What is the shape that is {x}?",
        "Name the shape that is {x}.",
        "What {x} shape do you see?",
        "What {x} shape is there?",
        "Which {x} shape is in the picture?",
        "What is the {x} thing?",
        "What is the {x} object?",
        "What {x} figure is shown?",
    ),
    "only colour": (
        "What {colour} is it?",
        "What {colour} is this?",
        "Which {colour} do you see?",
        "What {colour} is the shape?",
        "What {colour} is the object in the image?",
        "What is the {colour} of this thing?",
    ),
    "only shape": (
        "What is this?",
        "What shape is it?",
        "What shape is this?",
        "Which shape do you see?",
        "What is in the picture?",
        "What do you see?",
        "What object is in the image?",
        "Name the shape.",
    ),
    "colour at": (
        "What {colour} is the shape at the {x}?",
        "What {colour} is the thing at the {x}?",
        "Which {colour} is at the {x}?",
    ),
    "shape at": (
        "What shape is at the {x}?",
        "What is at the {x}?",
        "Which shape is at the {x} of the picture?",
        "What do you see at the {x}?",
    ),
    "count": (
        "How many {x} are there?",
        "How many {x} do you see?",
        "How many {x} can you count?",
        "Count the {x}.",
        "What is the number of {x}?",
        "How many {x} are in the picture?",
        "How many {x} does the image show?",
        "Number of {x}?",
    ),
    "position": (
        "Where is the {x}?",
        "Where do you see the {x}?",
        "Where in the picture is the {x}?",
        "What is the position of the {x}?",
        "In which part of the image is the {x}?",
        "Find the {x}. Where is it?",
        "Position of the {x}?",
        "Say where the {x} is.",
    ),
    "beside": (
        "Is the {x} left or right of the {y}?",
        "On which side of the {y} is the {x}, left or right?",
        "Left or right: where is the {x} from the {y}?",
    ),
    "over": (
        "Is the {x} above or below the {y}?",
        "Above or below: where is the {x} from the {y}?",
        "Is the {x} over or under the {y}, above or below?",
    ),
    "there": (
        "Is there a {x}?",
        "Do you see a {x}?",
        "Does the picture show a {x}?",
        "Is a {x} in the image?",
    ),
    "word": (
        "What does it say?",
        "What word is this?",
        "What is the word?",
        "Read the word.",
        "What is written here?",
        "What is written in the picture?",
        "What text is in the image?",
        "Read the text.",
        "Which word do you see?",
        "What does the text say?",
        "What is printed here?",
        "Spell the word in the image.",
        "Transcribe the text.",
        "What does the sign say?",
    ),
    "number": (
        "What number is this?",
        "What is the number?",
        "Read the number.",
        "Which number do you see?",
        "What number is in the picture?",
        "What number is written here?",
        "Which digits do you see?",
        "What are the digits in the image?",
        "Read the digits.",
    ),
    "line": (
        "What does the {x} line say?",
        "What is the {x} word?",
        "Read the {x} line.",
        "What is written in the {x} line?",
        "Which word is in the {x} line?",
    ),
    "coloured word": (
        "What is the {x} word?",
        "What does the {x} text say?",
        "Which word is {x}?",
        "What is written in {x}?",
        "Read the {x} word.",
    ),
    "letters": (
        "How many letters does the word have?",
        "How long is the word?",
        "Count the letters.",
        "How many letters are there?",
    ),
    "first letter": ("What is the first letter?", "Which letter comes first?", "What letter does the word start with?"),
    "last letter": ("What is the last letter?", "Which letter comes last?", "What letter does the word end with?"),
    "describe": (
        "Describe this image in one sentence.",
        "Describe the image.",
        "Describe the picture.",
        "What is in this image?",
        "What does this picture show?",
        "Give a one sentence description.",
        "Caption this image.",
        "Write a caption for the picture.",
        "What can you see in this image? Answer in one sentence.",
        "Describe what you see.",
        "Describe this picture in a sentence.",
    ),
}
SENTENCE = (" Answer in a sentence.", " Answer in one sentence.", " Reply with a full sentence.")
JSON = (" Answer in JSON with {keys}.", " Reply as JSON with {keys}.", " Give JSON with {keys}.")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its answer. kind is a key of WORDINGS, `heldout` classes are in data.CLASSES."""

    kind: str
    question: str
    answer: str


def ask(dice: random.Random, scene: data.Scene) -> list[Asked]:
    """Questions of every kind that the scene answers without doubt, in a random order, no wording varied twice."""
    plain = _facts(dice, scene)
    dice.shuffle(plain)
    return [_say(dice, *fact) for fact in plain]


def about(dice: random.Random, scene: data.Scene, kind: str) -> Asked | None:
    """A question of one class about the scene's first thing, or nothing where the scene leaves doubt."""
    first = scene.things[0]
    if kind == "describe":
        found: list[tuple[str, dict[str, str], str]] = [("describe", {}, describe(scene))]
    elif kind == "word":
        found = [("word", {}, first.name)]
    elif kind == "number":
        found = [("number", {}, first.name)]
    elif kind == "count":
        found = _counted(scene)[:1]
    else:
        found = [fact for fact in _single(scene, first) if fact[0] == kind]
    return _say(dice, *dice.choice(found), short=True) if found else None


def describe(scene: data.Scene) -> str:
    """The one sentence. Things are named from left to right, lines of text from top to bottom."""
    texts = sorted(scene.texts, key=lambda thing: thing.y)
    shapes = sorted(scene.shapes, key=lambda thing: thing.x)
    kinds = {(thing.name, thing.colour) for thing in shapes}
    parts: list[str] = []
    if texts:
        noun = "number" if texts[0].name[0] in data.DIGITS else "word"
        parts += [f'the {noun} "{thing.name}" in {thing.colour}' for thing in texts]
    if len(shapes) == 1 and not texts and shapes[0].zone:
        place = "in the middle" if shapes[0].zone == "middle" else f"at the {shapes[0].zone}"
        parts.append(f"{_a(shapes[0].colour)} {shapes[0].name} {place}")
    elif len(kinds) == 1 and len(shapes) > 1:
        (name, colour), *_ = kinds
        parts.append(f"{NUMBERS[len(shapes)]} {colour} {_many(name)}")
    else:
        parts += [f"{_a(thing.colour)} {thing.name}" for thing in shapes]
    said = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return said[0].upper() + said[1:] + "."


def _facts(dice: random.Random, scene: data.Scene) -> list[tuple[str, dict[str, str], str]]:
    found: list[tuple[str, dict[str, str], str]] = [("describe", {}, describe(scene))]
    shapes, texts = scene.shapes, scene.texts
    for thing in dice.sample(shapes, min(3, len(shapes))):
        found += _single(scene, thing)
    if shapes:
        found += _counted(scene) if dice.random() < 0.7 or len(shapes) > 2 else []
        found += _there(dice, scene)
        absent = [name for name in data.SHAPES if all(thing.name != name for thing in shapes)]
        found += [("count", {"x": _many(dice.choice(absent))}, "0")] if dice.random() < 0.2 else []
    if len(shapes) == 1 and not texts:
        found += [("only colour", {}, shapes[0].colour), ("only shape", {}, shapes[0].name)]
    if len(shapes) > 1:
        found += _between(dice, shapes)
    if len(texts) == 1:
        found += _read(dice, texts[0])
    elif texts:
        lines = sorted(texts, key=lambda thing: thing.y)
        names = ("first", "second", "third") if dice.random() < 0.6 else ("top", "middle", "bottom")
        if len(lines) == 2 and names[0] == "top":
            names = ("top", "bottom", "")
        found += [("line", {"x": names[at]}, thing.name) for at, thing in enumerate(lines)]
        for thing in lines:
            if [other.colour for other in lines].count(thing.colour) == 1:
                found.append(("coloured word", {"x": thing.colour}, thing.name))
    return found


def _single(scene: data.Scene, thing: data.Thing) -> list[tuple[str, dict[str, str], str]]:
    """What tells one shape from all others in the scene."""
    found: list[tuple[str, dict[str, str], str]] = []
    others = [other for other in scene.shapes if other is not thing]
    same_name = any(other.name == thing.name for other in others)
    same_colour = any(other.colour == thing.colour for other in scene.things if other is not thing)
    if not same_name:
        found.append(("colour", {"x": thing.name}, thing.colour))
    if not same_colour:
        found.append(("shape", {"x": thing.colour}, thing.name))
    if thing.zone and not scene.texts and not any(other.zone in (thing.zone, "") for other in others):
        found += [("colour at", {"x": thing.zone}, thing.colour), ("shape at", {"x": thing.zone}, thing.name)]
    if thing.zone and not any((other.name, other.colour) == (thing.name, thing.colour) for other in others):
        names = [f"{thing.colour} {thing.name}"]
        names += [thing.name] if not same_name else []
        names += [f"{thing.colour} shape"] if not same_colour else []
        found += [("position", {"x": name}, thing.zone) for name in names[:2]]
    return found


def _counted(scene: data.Scene) -> list[tuple[str, dict[str, str], str]]:
    shapes = scene.shapes
    first = shapes[0]
    found: list[tuple[str, dict[str, str], str]] = [
        ("count", {"x": "shapes"}, str(len(shapes))),
        ("count", {"x": _many(first.name)}, str(sum(thing.name == first.name for thing in shapes))),
        ("count", {"x": f"{first.colour} shapes"}, str(sum(thing.colour == first.colour for thing in shapes))),
    ]
    if len({(thing.name, thing.colour) for thing in shapes}) == 1:
        found.insert(0, ("count", {"x": f"{first.colour} {_many(first.name)}"}, str(len(shapes))))
    return found


def _there(dice: random.Random, scene: data.Scene) -> list[tuple[str, dict[str, str], str]]:
    thing = dice.choice(scene.shapes)
    if dice.random() < 0.5:
        return [("there", {"x": f"{thing.colour} {thing.name}"}, "yes")]
    name = dice.choice(data.SHAPES) if dice.random() < 0.5 else thing.name
    colour = dice.choice(list(data.COLOURS)) if name == thing.name or dice.random() < 0.5 else thing.colour
    here = any((other.name, other.colour) == (name, colour) for other in scene.shapes)
    return [("there", {"x": f"{colour} {name}"}, "yes" if here else "no")]


def _between(dice: random.Random, shapes: list[data.Thing]) -> list[tuple[str, dict[str, str], str]]:
    one, other = dice.sample(shapes, 2)
    if [thing.name for thing in shapes].count(one.name) > 1 or [thing.name for thing in shapes].count(other.name) > 1:
        return []
    names = {"x": one.name, "y": other.name}
    found: list[tuple[str, dict[str, str], str]] = []
    if abs(one.x - other.x) > 14:
        found.append(("beside", names, "left" if one.x < other.x else "right"))
    if abs(one.y - other.y) > 14:
        found.append(("over", names, "above" if one.y < other.y else "below"))
    return found


def _read(dice: random.Random, thing: data.Thing) -> list[tuple[str, dict[str, str], str]]:
    if thing.name[0] in data.DIGITS:
        return [("number", {}, thing.name)] * 2 + [("colour", {"x": "number"}, thing.colour)]
    found: list[tuple[str, dict[str, str], str]] = [("word", {}, thing.name)] * 2
    found.append(("colour", {"x": dice.choice(("word", "text"))}, thing.colour))
    found.append(("letters", {}, str(len(thing.name))))
    found.append(dice.choice((("first letter", {}, thing.name[0]), ("last letter", {}, thing.name[-1]))))
    return found


def _say(dice: random.Random, kind: str, words: dict[str, str], answer: str, short: bool = False) -> Asked:
    colour = dice.choice(("colour", "color"))
    question = dice.choice(WORDINGS[kind]).format(colour=colour, Colour=colour.title(), **words)
    if kind in LONG and not short:
        form = dice.random()
        if form < 0.08:
            return Asked(kind, question + dice.choice(SENTENCE), LONG[kind].format(answer=answer, **words))
        if form < 0.14:
            key = kind.rsplit(maxsplit=1)[-1] if "colour" not in kind else colour
            value: object = int(answer) if kind == "count" else answer
            keys = dice.choice((f'the key "{key}"', f'"{key}"'))
            return Asked(kind, question + dice.choice(JSON).format(keys=keys), json.dumps({key: value}))
    return Asked(kind, _vary(dice, question), answer)


LONG = {
    "colour": "The {x} is {answer}.",
    "shape": "The {x} shape is a {answer}.",
    "count": "The number of {x} is {answer}.",
    "position": "The {x} is at the {answer}.",
    "word": "The word is {answer}.",
    "number": "The number is {answer}.",
}


def _vary(dice: random.Random, question: str) -> str:
    form = dice.random()
    if form < 0.12:
        question = question.lower().rstrip("?.")
    elif form < 0.2:
        question = question.lower()
    elif form < 0.28:
        question = dice.choice(POLITE) + question[0].lower() + question[1:]
    elif form < 0.33:
        question += dice.choice((" Answer in one word.", " Be brief.", " Short answer please."))
    return question


def _many(name: str) -> str:
    return {"cross": "crosses"}.get(name, name + "s")


def _a(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word
