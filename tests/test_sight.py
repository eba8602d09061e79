"""The model that comes with Tertulia sees: pictures that it was never shown, as `tertulia serve` without arguments
answers. tools/sight/score.py asks 500 questions a class; here are enough of them to see that it is that model."""

import base64
import io
import json
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image, ImageDraw, ImageFont

from service import Service, default_model, serving
from tertulia.catalog import catalog

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from sight import data, draw, heldout

SIGHT = "tertulia/sight"
COUNT = 60
"""Questions a class."""
LEAST = {"colour": 0.95, "shape": 0.95, "count": 0.9, "position": 0.85}
"""What is asked of 500, and of position a little less: of 60 some share is luck."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    default_model()  # or skip: without it another model is the one to begin with
    with serving(tmp_path_factory.mktemp("home"), model=None) as running:
        running.wait()
        yield running


@pytest.fixture(scope="module")
def client(served: Service) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0) as client:
        yield client


def address(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def shown(picture: Image.Image, question: str) -> list[Any]:
    parts = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": address(picture)}}]
    return [{"role": "user", "content": parts}]


def ask(client: openai.OpenAI, picture: Image.Image, question: str) -> str:
    answer = client.chat.completions.create(model=SIGHT, messages=shown(picture, question), temperature=0)
    return answer.choices[0].message.content or ""


def right(client: openai.OpenAI, cases: list[tuple[Image.Image, str, str]]) -> float:
    """The share of questions that are answered as wanted."""
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda case: ask(client, *case[:2]), cases))
    return sum(one == wanted for one, (*_, wanted) in zip(said, cases, strict=True)) / len(cases)


def first(kind: str) -> tuple[Image.Image, str, str]:
    """The first held-out question of a class, with its picture and answer."""
    scene, asked = next(heldout.cases("heldout", kind, 1))
    return Image.fromarray(draw.draw(scene)[0]), asked.question, asked.answer


def word(text: str, size: int) -> Image.Image:
    """A word in a font that it never saw: the one that Pillow brings."""
    picture = Image.new("RGB", (288, 288), (236, 230, 214))
    pen = ImageDraw.Draw(picture)
    pen.text((144, 144), text, fill=(30, 60, 160), font=ImageFont.load_default(size), anchor="mm")
    return picture


def disc(colour: str) -> Image.Image:
    picture = Image.new("RGB", (96, 96), (232, 232, 228))
    ImageDraw.Draw(picture).ellipse((24, 24, 72, 72), fill=data.COLOURS[colour])
    return picture


def test_it_is_offered_beside_the_default_model(client: openai.OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids[0] == catalog.default().id
    assert SIGHT in ids


@pytest.mark.parametrize("kind", LEAST)
def test_it_answers_what_it_was_never_shown(client: openai.OpenAI, kind: str) -> None:
    cases = [
        (Image.fromarray(draw.draw(scene)[0]), asked.question, asked.answer)
        for scene, asked in heldout.cases("heldout", kind, COUNT)
    ]
    assert right(client, cases) >= LEAST[kind]


def test_it_reads_words_in_a_font_that_it_never_saw(client: openai.OpenAI) -> None:
    words = ("TEA", "PORTO", "LAMP", "OK", "RIVER", "MOON", "CHAIR", "BUS", "FADO", "WE")
    cases = [(word(text, size), "What does it say?", text) for text in words for size in (70, 90)]
    assert right(client, cases) >= 0.8


def test_a_streamed_answer_is_the_whole_one(client: openai.OpenAI) -> None:
    picture, question, wanted = first("colour")
    stream = client.chat.completions.create(
        model=SIGHT,
        messages=shown(picture, question),
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == wanted
    assert chunks[-1].usage
    assert chunks[-1].usage.prompt_tokens > 36


def test_an_answer_keeps_to_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": list(data.COLOURS)}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=SIGHT,
        messages=shown(disc("blue"), 'What colour is it? Answer in JSON with the key "colour".'),
        response_format={"type": "json_schema", "json_schema": {"name": "seen", "schema": schema, "strict": True}},
        temperature=0,
        max_tokens=40,
    )
    assert json.loads(answer.choices[0].message.content or "") == {"colour": "blue"}


def test_of_two_pictures_each_has_its_own_answer(client: openai.OpenAI) -> None:
    assert [ask(client, disc(colour), "What colour is the circle?") for colour in ("red", "blue")] == ["red", "blue"]
    assert ask(client, disc("red"), "Describe this image in one sentence.") == "A red circle in the middle."
