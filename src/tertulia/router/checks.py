"""What a probe asks, and how it judges what comes back. Pure.

Each check is one field of a request, under the name that the order of candidates has for it. A question is chosen such
that the right answer can't be had by chance: keys and words of a form are none that a model would think of, a call is
required where none is due, an image is of a colour that nobody named.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from msgspec import Struct, structs

from tertulia.types import Answer, ChatRequest, Choice, Completion, Function, Image, ImageUrl, Message, Text, Tool

SHORT = 16
"""Tokens of an answer whose text is not wanted."""
ROOM = 64
"""Tokens of an answer that is to come to its end."""
THOUGHT = 1024
"""Tokens of any answer of a model that thinks before it answers."""
PLAIN = "usage"
"""The check that comes first: with no field but those that all have."""


class Verdict(NamedTuple):
    """Whether a field works; None where that was not found out. ``why`` says what came instead."""

    works: bool | None
    why: str = ""


class Check(Struct, frozen=True):
    """The requests of one field, sent one after another, and the judge of their answers. ``bare`` is the first of them
    without the field: where that is answered, a refusal was about the field. A refusal that holds one of ``clues`` says
    so itself."""

    name: str
    asks: tuple[ChatRequest, ...]
    judge: Callable[[Sequence[Completion]], Verdict]
    bare: ChatRequest
    clues: tuple[str, ...]


class Picture(NamedTuple):
    """An image with a public address, and a word that a right answer to "what is this?" has in it."""

    url: str
    word: str


def plain(room: int = ROOM) -> ChatRequest:
    """The request that every model has an answer to."""
    return _say("Name the seven days of the week.", room)


def thinks(answer: Completion) -> bool:
    """Whether the model thought aloud, or was cut off before it had said anything."""
    message, finish = answer.choices[0].message, answer.choices[0].finish_reason
    return bool(message.reasoning or message.reasoning_content) or (not message.content and finish == "length")


def judge_usage(answer: Completion) -> Verdict:
    usage = answer.usage
    if usage.estimated:
        return Verdict(False, "its stream ended without a usage")
    if not usage.prompt_tokens or not usage.completion_tokens:
        return Verdict(False, f"it told {usage.prompt_tokens} tokens read and {usage.completion_tokens} written")
    return Verdict(True)


def checks(first: Completion, *, sees: bool, picture: Picture | None = None) -> list[Check]:
    """Everything that is tried after ``first``, the answer to :func:`plain`; images only where the model ``sees``."""
    thinking = thinks(first)
    short, room = (THOUGHT, THOUGHT) if thinking else (SHORT, ROOM)
    found = [*_calls(room), *_forms(room), *_numbers(short)]
    if stop := _stop(first, room):
        found.append(stop)
    if sees:
        found.append(_image(short))
        if picture:
            found.append(_picture(picture, room))
    return found


# ---------------------------------------------------------------- tools

_WEATHER = Tool(
    Function(
        name="get_weather",
        description="Tells what the weather is in a city right now.",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["London", "Paris", "Rome"]}},
            "required": ["city"],
        },
    )
)


def _calls(room: int) -> list[Check]:
    auto = _say("What is the weather in Paris right now? Use the tool.", room, tools=[_WEATHER], tool_choice="auto")
    # Nobody would call for that of his own accord.
    forced = _say("Hello! How are you?", room, tools=[_WEATHER], tool_choice="required")
    clues = ("tool", "function")
    return [
        Check("tools", (auto,), _judge_auto, structs.replace(auto, tools=None, tool_choice=None), clues),
        Check("tool_choice", (forced,), _judge_forced, structs.replace(forced, tools=None, tool_choice=None), clues),
    ]


def _judge_auto(answers: Sequence[Completion]) -> Verdict:
    if called := _called(answers[0].choices[0]):
        return called
    return Verdict(None, "it took the tool and didn't call it")


def _judge_forced(answers: Sequence[Completion]) -> Verdict:
    choice = answers[0].choices[0]
    if called := _called(choice):
        return called
    return _cut(choice) or Verdict(False, "no call came, though one was required")


def _called(choice: Choice) -> Verdict | None:
    """What is to be said of a call; None if there is none."""
    if not choice.message.tool_calls:
        return None
    call = choice.message.tool_calls[0].function
    arguments = _object(call.arguments)
    if call.name == _WEATHER.function.name and arguments and isinstance(arguments.get("city"), str):
        return Verdict(True)
    return _cut(choice) or Verdict(False, "its call doesn't fit the tool")


# ---------------------------------------------------------------- forms

_KEYS = {"quokkle": ("brimsel", "tarvock", "ondrile"), "vashtem": ("plindor", "graftle")}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {key: {"type": "string", "enum": list(words)} for key, words in _KEYS.items()},
    "required": list(_KEYS),
    "additionalProperties": False,
}


def _forms(room: int) -> list[Check]:
    form = {"type": "json_schema", "json_schema": {"name": "odd", "strict": True, "schema": _SCHEMA}}
    strict = _say("Describe a cat as JSON.", room, response_format=form)
    # Some want the word in the prompt; without the field the answer is one word.
    free = _say(
        "What is the capital of France? Answer in one word; only if you must, in JSON.",
        room,
        response_format={"type": "json_object"},
    )
    clues = ("response_format", "response format", "json", "schema", "structured")
    return [
        Check("response_format", (strict,), _judge_strict, structs.replace(strict, response_format=None), clues),
        Check("json_object", (free,), _judge_free, structs.replace(free, response_format=None), clues),
    ]


def _judge_strict(answers: Sequence[Completion]) -> Verdict:
    choice = answers[0].choices[0]
    told = _object(choice.message.content)
    if told is not None and told.keys() == _KEYS.keys() and all(told[key] in _KEYS[key] for key in _KEYS):
        return Verdict(True)
    return _cut(choice) or Verdict(False, "its answer doesn't fit the schema")


def _judge_free(answers: Sequence[Completion]) -> Verdict:
    choice = answers[0].choices[0]
    if _object(choice.message.content) is not None:
        return Verdict(True)
    return _cut(choice) or Verdict(False, "its answer is no JSON object")


# ---------------------------------------------------------------- numbers and chance


def _numbers(short: int) -> list[Check]:
    likely = _say("Hello!", short, logprobs=True, top_logprobs=2)
    line = "Write a line of a poem."
    seeds = tuple(structs.replace(_say(line, short, seed=seed), temperature=1.0) for seed in (7, 7, 90125))
    two = _say("Hello!", SHORT, n=2)
    return [
        Check(
            "logprobs",
            (likely,),
            _judge_logprobs,
            structs.replace(likely, logprobs=None, top_logprobs=None),
            ("logprob",),
        ),
        Check("seed", seeds, _judge_seed, structs.replace(seeds[0], seed=None), ("seed",)),
        Check("n", (two,), _judge_n, structs.replace(two, n=None), ("'n'", "`n`", '"n"', "n=", "n >", "choices")),
    ]


def _judge_logprobs(answers: Sequence[Completion]) -> Verdict:
    choice = answers[0].choices[0]
    tokens = choice.logprobs.content if choice.logprobs else None
    if not tokens:
        return (_cut(choice) if not choice.message.content else None) or Verdict(False, "none came")
    for token in tokens:
        likely = [top.logprob for top in token.top_logprobs]
        if len(likely) != 2:
            return Verdict(False, f"{len(likely)} likely tokens came where 2 were asked for")
        if likely != sorted(likely, reverse=True):
            return Verdict(False, "the likely tokens aren't in order")
        if max(token.logprob, *likely) > 0:
            return Verdict(False, "a logarithm of a probability is above 0")
    return Verdict(True)


def _judge_seed(answers: Sequence[Completion]) -> Verdict:
    texts = [_text(answer.choices[0].message) for answer in answers]
    if not texts[0] and not texts[1]:
        return Verdict(None, "it said nothing")
    if texts[0] != texts[1]:
        return Verdict(False, "the same seed gave two answers")
    if texts[0] == texts[2]:
        return Verdict(None, "another seed gave the same answer, too")
    return Verdict(True)


def _judge_n(answers: Sequence[Completion]) -> Verdict:
    places = [choice.index for choice in answers[0].choices]
    return Verdict(True) if places == [0, 1] else Verdict(False, f"{len(places)} of 2 answers came")


def _stop(first: Completion, room: int) -> Check | None:
    """The plain question again, with a word from the middle of its answer as the one to stop at."""
    said = first.choices[0].message.content or ""
    words = said.split()
    word = words[len(words) // 2] if words else ""
    before = said.partition(word)[0] if word else ""
    if not before.strip():
        return None

    def judge(answers: Sequence[Completion]) -> Verdict:
        choice = answers[0].choices[0]
        text = choice.message.content or ""
        if word in text:
            return Verdict(False, "the word to stop at is in its answer")
        if text.strip() == before.strip() and choice.finish_reason == "stop":
            return Verdict(True)
        return Verdict(None, "it said something else than the first time")

    ask = structs.replace(plain(room), stop=[word])
    return Check("stop", (ask,), judge, plain(room), ("stop",))


# ---------------------------------------------------------------- images

_COLOURS = {"red": (230, 10, 10), "blue": (10, 10, 230)}


def _image(short: int) -> Check:
    """Two images of one colour each: one alone could be right by chance."""
    question = "What colour is this image? Answer with one word."

    def judge(answers: Sequence[Completion]) -> Verdict:
        texts = [_text(answer.choices[0].message).casefold() for answer in answers]
        right = [
            colour in text and not any(other in text for other in _COLOURS if other != colour)
            for colour, text in zip(_COLOURS, texts, strict=True)
        ]
        if all(right):
            return Verdict(True)
        if any(right):
            return Verdict(None, "it told one of two colours")
        cut = next(filter(None, (_cut(answer.choices[0]) for answer in answers)), None)
        return cut or Verdict(False, "it can't tell red from blue")

    asks = tuple(_show(question, _inline(draw(rgb)), short) for rgb in _COLOURS.values())
    return Check("image", asks, judge, _say(question, short), _EYES)


def _picture(picture: Picture, room: int) -> Check:
    question = "What is in this image? Answer in a few words."

    def judge(answers: Sequence[Completion]) -> Verdict:
        choice = answers[0].choices[0]
        if picture.word.casefold() in _text(choice.message).casefold():
            return Verdict(True)
        return _cut(choice) or Verdict(False, f"it didn't find {picture.word!r} in the image")

    return Check("image_url", (_show(question, picture.url, room),), judge, _say(question, room), _EYES)


_EYES = ("image", "vision", "visual", "multimodal", "multi-modal")


def draw(rgb: tuple[int, int, int], side: int = 64) -> bytes:
    """A square PNG of one colour."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(rgb) * side) * side
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", zlib.compress(rows)) + piece(b"IEND", b"")


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


# ---------------------------------------------------------------- what requests and answers are made of


def _say(question: str, most: int, **fields: Any) -> ChatRequest:
    message = Message(role="user", content=question)
    return ChatRequest(messages=[message], max_tokens=most, temperature=0.0, **fields)


def _show(question: str, url: str, most: int) -> ChatRequest:
    request = _say(question, most)
    request.messages[0].content = [Text(question), Image(ImageUrl(url))]
    return request


def _text(message: Answer) -> str:
    return message.content or ""


def _cut(choice: Choice) -> Verdict | None:
    return Verdict(None, "its answer was cut off") if choice.finish_reason == "length" else None


def _object(text: str | None) -> dict[str, Any] | None:
    """The JSON object that ``text`` is; None if it is none."""
    try:
        told = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], told) if isinstance(told, dict) else None
