"""An engine over tiny models that see: what is shared, what is counted, and who waits for whom."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

import seeing
from asking import WORDS, Start, address, answer, look, picturing, said, stream, whole
from tertulia import config
from tertulia.engine import engine as engines
from tertulia.engine import pictures
from tertulia.engine.batch import BLOCK
from tertulia.errors import Busy
from tertulia.types import ChatRequest, Completion, Image, ImageUrl, Message, Text

A, B, WIDE = ["a", 64, 64], ["b", 64, 64], ["w", 60, 190]
NAMES = [name for name in seeing.TEMPLATES if name != seeing.NEWER]


def cached(answered: Completion) -> int:
    assert answered.usage
    assert answered.usage.prompt_tokens_details
    return answered.usage.prompt_tokens_details.cached_tokens


@pytest.mark.parametrize("name", NAMES)
async def test_two_pictures_under_one_text_have_two_answers_and_share_nothing_past_the_picture(
    start: Start, name: str
) -> None:
    engine = await start(name)
    first = await answer(engine, look(A, "what is it for?"))
    other = await answer(engine, look(B, "what is it for?"))
    assert said(first) != said(other)
    assert cached(other) == 0, "the picture stands in the first block"
    again = await answer(engine, look(A, "what is it for?"))
    assert said(again) == said(first)
    assert cached(again) == (again.usage.prompt_tokens - 2) // BLOCK * BLOCK > 0


async def test_what_stands_before_a_picture_is_shared_and_what_stands_behind_is_not(start: Start) -> None:
    engine = await start("idefics3")
    text = "the and of is to in that it for was on are with " * 3
    await answer(engine, look(text, A, "what?"))
    other = await answer(engine, look(text, B, "what?"))
    before = len(engine._tokens.encode(f"<|im_start|>user\n{text}")) + 2  # and two words that begin every picture
    assert cached(other) == before // BLOCK * BLOCK > 0


async def test_a_second_question_about_a_picture_looks_at_it_no_more(start: Start) -> None:
    engine = await start("smolvlm")
    assert engine._gallery
    first = await answer(engine, look(A, "what is it?"))
    made = engine._gallery.made
    assert made
    second = await answer(engine, look(A, "and what is it for?"))
    assert engine._gallery.made == made
    assert cached(second) >= 9 * BLOCK
    assert said(first) != said(second)


async def test_a_second_question_with_the_same_file_does_not_decode_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = pictures.read, look(A, "and what is it for?")
    files: list[object] = []
    monkeypatch.setattr(pictures, "read", lambda *given: files.append(given[0]) or read(*given))
    seen = config.Images(seen=25 * 192 * 4)  # one picture of this model
    engine = await start("idefics3", images=seen)
    await answer(engine, look(A, "what is it?"))
    again = await answer(engine, asked)
    assert len(files) == 1
    assert again.usage.prompt_tokens == await engine.count(asked)
    await answer(engine, look(B, "what is it?"))
    assert said(await answer(engine, asked)) == said(again)
    assert len(files) == 3, "what was seen in it had to make room"


async def test_one_picture_that_several_ask_about_at_once_is_looked_at_once(start: Start) -> None:
    engine = await start("smolvlm")
    assert engine._gallery
    await answer(engine, look(B, "what?"))
    once = engine._gallery.made
    await asyncio.gather(*(answer(engine, look(A, f"{number}?")) for number in range(4)))
    assert engine._gallery.made == 2 * once


async def test_the_oldest_embeddings_make_room(start: Start) -> None:
    two = config.Images(seen=2 * 25 * 192 * 4)  # pictures of the model that sees them whole
    engine = await start("idefics3", images=two)
    assert engine._gallery
    for picture in (A, B, A, ["c", 64, 64]):
        await answer(engine, look(picture, "what?"))
    made = engine._gallery.made
    await answer(engine, look("This", A, "is for what?"))
    assert engine._gallery.made == made, "it was asked about since"
    await answer(engine, look("This", B, "is for what?"))
    assert engine._gallery.made > made


FORGETS = config.Images(seen=0)
"""Nothing of what was seen is kept, but for the blocks of prompts that hold it."""


ON = "that is what it was for, as it is in this or that, and when it is not for that then what? " * 2
"""More than a block."""


@pytest.mark.parametrize("name", NAMES)
async def test_in_a_conversation_a_picture_is_looked_at_once_though_what_was_seen_is_not_kept(
    start: Start, name: str
) -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": ["Of this:", A, ON]}]
    then = [*turns, {"role": "assistant", "content": ["It is."]}, {"role": "user", "content": ["and why?"]}]
    asked = [picturing(one, max_tokens=8, temperature=0.0, logit_bias=WORDS) for one in (turns, turns, then)]
    engine, keeps = await start(name, images=FORGETS), await start(name)
    assert engine._gallery
    found = [await answer(engine, asked[0])]
    made = engine._gallery.made
    found += [await answer(engine, one) for one in asked[1:]]
    assert engine._gallery.made == made
    assert [said(one) for one in found] == [said(await answer(keeps, one)) for one in asked]
    await answer(engine, look(A, ON))
    assert engine._gallery.made == 2 * made, "at another place it is in other blocks"


async def test_of_several_pictures_only_those_are_looked_at_whose_blocks_are_not_there(start: Start) -> None:
    engine = await start("smolvlm", images=FORGETS)
    assert engine._gallery
    await answer(engine, look(A, ON))
    once = engine._gallery.made
    both = await answer(engine, look(A, ON, B, "and what?"))
    assert engine._gallery.made == 2 * once
    assert said(both) == said(await answer(await start("smolvlm"), look(A, ON, B, "and what?")))


async def test_blocks_that_are_taken_while_their_request_waits_are_made_anew(start: Start) -> None:
    """One seat, and a pool that a long text fills: when the second question's turn comes nothing is left."""
    engine = await start("smolvlm", images=FORGETS, batch=1, context=640)
    each = engine._model.block_bytes
    small = await start("smolvlm", images=FORGETS, batch=1, kv=21 * each)
    assert small._gallery
    asked = look(A, ON, n=2)
    expected = await answer(engine, asked)
    await answer(small, look(A, ON))
    made = small._gallery.made
    long = asyncio.create_task(answer(small, look("the and of " * 40, max_tokens=200)))
    while not small._scheduler.running:
        await asyncio.sleep(0.001)
    second = asyncio.create_task(answer(small, asked))
    found = (await second, await long)[0]
    assert small._gallery.made == 2 * made, "it was thought to be there, and looked at when it wasn't"
    assert [said(found, choice) for choice in (0, 1)] == [said(expected, choice) for choice in (0, 1)]
    assert whole(small) and not small._lost


async def test_who_loses_blocks_with_a_picture_that_was_not_looked_at_gets_them_back(
    start: Start, steady: dict[str, bool]
) -> None:
    """Two chats begin with blocks that are there, and the longer one grows until it has taken the other's."""
    engine = await start("smolvlm", **steady)
    asked = [look([name, 64, 64], ON, max_tokens=most) for name, most in (("a", 400), ("b", 150))]
    alone = [await answer(engine, one) for one in asked]
    each = -(-alone[0].usage.prompt_tokens // BLOCK)
    small = await start("smolvlm", images=FORGETS, kv=(2 * each + 5) * engine._model.block_bytes, exact=True)
    assert small._gallery
    for name in "ab":
        await answer(small, look([name, 64, 64], ON, max_tokens=1))
    made = small._gallery.made
    crowd = await asyncio.gather(*(answer(small, one) for one in asked))
    assert small._figures.counters["preemptions"] > 0
    assert small._gallery.made == made * 3 // 2, "one of the two was looked at again"
    if steady or engine._model._one:
        assert [said(one) for one in crowd] == [said(one) for one in alone]
    assert whole(small) and not small._lost


@pytest.mark.parametrize("name", NAMES)
async def test_image_tokens_are_counted(start: Start, name: str) -> None:
    engine = await start(name)
    asked = look("This", A, "and this", WIDE, "?")
    counted = (await answer(engine, asked)).usage.prompt_tokens
    rows = {"smolvlm": [17 * 16, 9 * 16], "idefics3": [25, 25], "qwen2.5-vl": [8 * 8, 4 * 14]}[name]
    plan = await engine._asker.plan(asked, 0)
    assert counted == len(plan.prompt.ids) == await engine.count(asked)
    assert [len(view.places) for view in plan.prompt.views] == rows


@pytest.mark.parametrize("name", NAMES)
async def test_among_others_an_answer_is_the_one_it_is_alone(start: Start, steady: dict[str, bool], name: str) -> None:
    engine = await start(name, **steady)
    asked = [
        look(A, "what is it?", logprobs=True),
        look("This", B, "and", WIDE, "are for?", logprobs=True),
        look("what is the import of this?", logprobs=True),
        look(["p", 300, 70], "when?", logprobs=True),
    ]
    alone = [await answer(engine, one) for one in asked]
    fresh = await start(name, **steady)
    crowd = await asyncio.gather(*(answer(fresh, one) for one in asked))
    for one, other in zip(alone, crowd, strict=True):
        assert one.choices[0].message.content == other.choices[0].message.content
        assert one.choices[0].logprobs == other.choices[0].logprobs


async def test_a_picture_is_read_the_same_in_chunks_and_after_it_was_dropped(
    start: Start, steady: dict[str, bool]
) -> None:
    """Four chats in a pool that holds two of them: some lose their blocks and are read again."""
    engine = await start("smolvlm", **steady)
    asked = [look([name, 64, 64], "what?", max_tokens=60) for name in "abcd"]
    alone = [said(await answer(engine, one)) for one in asked]
    each = engine._model.block_bytes
    small = await start("smolvlm", kv=24 * each, exact=True)
    crowd = [said(one) for one in await asyncio.gather(*(answer(small, one) for one in asked))]
    assert small._figures.counters["preemptions"] > 0
    if steady or engine._model._one:
        assert crowd == alone


async def test_a_stream_of_text_goes_on_while_a_picture_is_looked_at(start: Start) -> None:
    engine = await start("smolvlm")
    assert engine._gallery
    many = [[f"x{number}", 64, 64] for number in range(12)]
    during: list[int] = []
    seen = asyncio.create_task(answer(engine, look(*many, "what?", max_tokens=2)))
    while not seen.done():  # a stream may be over before the picture is there
        async with aclosing(engine.chat(look("the", max_tokens=400))) as chunks:
            async for _ in chunks:
                during.append(engine._gallery.made)
                if seen.done():
                    break
    await seen
    total = engine._gallery.made
    between = {made for made in during if 0 < made < total}
    assert len(between) >= 2, "tokens came between the pieces"  # how often depends on the machine


async def test_a_picture_that_nobody_waits_for_is_dropped(start: Start) -> None:
    engine = await start("smolvlm")
    assert engine._gallery
    waiting = [asyncio.create_task(answer(engine, look([f"x{number}", 64, 64], "what?"))) for number in range(4)]
    while not engine._gallery.made:
        await asyncio.sleep(0.001)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert whole(engine)
    assert engine._looking == 0
    assert engine._gallery.pick() is None
    assert said(await answer(engine, look(A, "what?")))


async def test_pictures_that_wait_count_as_requests_that_wait(start: Start) -> None:
    engine = await start("smolvlm", queue=1, batch=1)
    asked = [asyncio.create_task(answer(engine, look([f"q{number}", 64, 64], "what?"))) for number in range(6)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert any(isinstance(one, Busy) for one in done)
    assert any(isinstance(one, Completion) for one in done)
    assert whole(engine)


async def test_a_tower_that_fails_fails_its_request_only(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await start("idefics3")
    assert engine._gallery

    def broken(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as broke:
        broke.setattr(engine._gallery, "work", broken)
        with pytest.raises(engines.EngineFault):
            await answer(engine, look(A, "what?"))
    assert said(await answer(engine, look(A, "what?")))


@pytest.mark.parametrize("name", NAMES)
async def test_the_word_for_a_picture_in_a_text_is_no_picture(start: Start, name: str) -> None:
    engine = await start(name)
    spelt = f"{seeing.IMAGE} is {seeing.AROUND}<global-img>{seeing.IMAGE}{seeing.AROUND}"
    plan = await engine._asker.plan(look(spelt, A, spelt), 0)
    assert len(plan.prompt.views) == 1
    assert said(await answer(engine, look(spelt)))
    said_twice = [await answer(engine, look(spelt, picture, spelt)) for picture in (A, B)]
    assert said(said_twice[0]) != said(said_twice[1])


async def test_a_picture_is_told_from_the_same_tokens_without_one(start: Start) -> None:
    engine = await start("idefics3")
    shown = await answer(engine, look(A, "what?"))
    told = look(f"{seeing.AROUND}<global-img>{seeing.IMAGE * 25}{seeing.AROUND}what?")
    ids = [(await engine._asker.plan(one, 0)).prompt.ids for one in (look(A, "what?"), told)]
    assert ids[0] == ids[1]
    other = await answer(engine, told)
    assert cached(other) == 0
    assert said(other) != said(shown)


@pytest.mark.parametrize("name", NAMES)
async def test_pictures_in_any_turn_and_a_form(start: Start, name: str) -> None:
    engine = await start(name)
    turns = [
        {"role": "user", "content": ["This is", A]},
        {"role": "assistant", "content": ["It is that."]},
        {"role": "user", "content": [B, "and this, or", WIDE, "?"]},
    ]
    schema = {"type": "object", "properties": {"is": {"enum": ["the", "that"]}}, "required": ["is"]}
    form = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {**schema, "additionalProperties": False}},
    }
    asked = picturing(turns, max_tokens=40, response_format=form, temperature=0.0, logprobs=True, top_logprobs=3)
    answered = await answer(engine, asked)
    assert answered.choices[0].message.content in ('{"is": "the"}', '{"is": "that"}', '{"is":"the"}', '{"is":"that"}')
    assert answered.choices[0].logprobs


async def test_a_picture_is_one_however_it_came(start: Start) -> None:
    engine = await start("idefics3")
    assert engine._gallery
    pixels = seeing.picture(*A)
    await answer(engine, look(A, "what?"))
    made = engine._gallery.made
    padded = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    message = Message(role="user", content=[Image(ImageUrl(address(padded))), Text("what?")])
    other = await answer(engine, ChatRequest(messages=[message], max_tokens=3, logit_bias=WORDS))
    assert engine._gallery.made == made
    assert cached(other) > 0


async def test_a_long_look_gives_signs_of_life(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PULSE", 0.01)
    engine = await start("smolvlm")
    began = time.monotonic()
    chunks = await stream(engine, look(A, "what?"))
    assert time.monotonic() - began > 0.01
    signs = [chunk for chunk in chunks if not chunk.choices and not chunk.usage]
    assert signs
    assert chunks.index(signs[0]) == 0
