"""An engine over a tiny Qwen2.5-VL, whose pictures are laid out in space: what follows them stands where it should,
however it came to be computed."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

import seeing
import seeing_qwen
from asking import Start, address, answer, look, said
from tertulia import config
from tertulia.engine.batch import BLOCK, Batch
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.model import Model
from tertulia.engine.scheduler import Sequence
from tertulia.engine.view import View, positions
from tertulia.errors import BadRequest
from tertulia.fold import fold
from tertulia.types import ChatRequest, Chunk, Completion, Image, ImageUrl, Message, Text

NAME = seeing.PUBLISHED
A, WIDE, TALL = ["a", 64, 64], ["w", 40, 90], ["t", 120, 32]


def cached(answered: Completion) -> int:
    assert answered.usage
    assert answered.usage.prompt_tokens_details
    return answered.usage.prompt_tokens_details.cached_tokens


@pytest.mark.parametrize("pictures", [[WIDE], [A, TALL], [TALL, "and", WIDE, "and", A]])
async def test_an_answer_goes_on_behind_its_pictures(
    start: Start, folder: Callable[[str], Path], pictures: list[object]
) -> None:
    """The log-probabilities of an answer are those that its tokens have when they are read as one prompt."""
    engine = await start(NAME, weights="f32")
    asked = look("This", *pictures, "is what?", max_tokens=20, logprobs=True)
    chunks: list[Chunk] = []
    sequences: list[Sequence] = []
    async with aclosing(engine.chat(asked)) as coming:
        async for chunk in coming:
            chunks.append(chunk)
            sequences = sequences or list(engine._scheduler.running)
    told = fold(chunks).choices[0].logprobs
    ids, prompt, views = sequences[0].tokens, len(sequences[0].prompt), sequences[0].views
    assert told and told.content and len(told.content) == len(ids) - prompt == 20
    model = Model(open_checkpoint(folder(NAME), "f32"), kv=32 << 20, threads=2, rounding=False)
    logits = model.forward(whole(ids, views, prompt)).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = logs[np.arange(20), ids[prompt:]]
    assert np.abs(wanted - [one.logprob for one in told.content]).max() < 0.02


def whole(ids: list[int], views: list[View], prompt: int) -> Batch:
    """Prompt and answer as one pass."""
    count = len(ids)
    laid = positions(count, views)
    assert laid is not None
    return Batch(
        tokens=np.array(ids, np.int64),
        positions=laid,
        past=np.zeros(1, np.int32),
        begins=np.array([0, count], np.int32),
        blocks=np.arange(-(-count // BLOCK), dtype=np.int32),
        block_begins=np.array([0, -(-count // BLOCK)], np.int32),
        sampled=np.arange(prompt - 1, count - 1, dtype=np.int64),
        longest=count,
        places=np.concatenate([view.places for view in views]),
        seen=np.concatenate([view.rows for view in views if view.rows is not None]),
    )


async def test_choices_and_a_question_behind_a_known_prompt_answer_as_alone(
    start: Start, steady: dict[str, bool]
) -> None:
    engine = await start(NAME, **steady)
    asked = look("This", WIDE, "and this", A, "are what?", n=3, seed=5, temperature=1.0, logprobs=True)
    first = await answer(engine, asked)
    again = await answer(engine, asked)
    assert cached(first) == 0 < cached(again)
    assert first.choices == again.choices
    assert len({said(first, index) for index in range(3)}) == 3
    fresh = await start(NAME, **steady)
    await answer(fresh, look("This", WIDE, "and that", max_tokens=1))
    shared = await answer(fresh, asked)
    assert cached(shared) > 0
    assert shared.choices == first.choices


async def test_who_loses_the_blocks_of_a_picture_goes_on_where_it_was(start: Start, steady: dict[str, bool]) -> None:
    """Four chats in a pool that holds two of them."""
    engine = await start(NAME, **steady)
    asked = [look([name, 64, 64], "what?", max_tokens=80) for name in "abcd"]
    alone = [said(await answer(engine, one)) for one in asked]
    small = await start(NAME, kv=11 * engine._model.block_bytes, exact=True)
    crowd = [said(one) for one in await asyncio.gather(*(answer(small, one) for one in asked))]
    assert small._figures.counters["preemptions"] > 0
    if steady or engine._model._one:
        assert crowd == alone


async def test_the_same_pixels_in_another_shape_are_another_picture(start: Start) -> None:
    engine = await start(NAME)
    grey = np.full((32, 64, 3), 99, np.uint8)

    def ask(pixels: np.ndarray) -> ChatRequest:
        parts = [Text("This"), Image(ImageUrl(address(pixels))), Text("is what?")]
        return ChatRequest(messages=[Message(role="user", content=parts)], max_tokens=4, temperature=0.0, logprobs=True)

    wide = await answer(engine, ask(grey))
    tall = await answer(engine, ask(grey.swapaxes(0, 1)))
    assert wide.usage and tall.usage and wide.usage.prompt_tokens == tall.usage.prompt_tokens
    assert cached(tall) // BLOCK == 0, "the picture stands in the first block"
    assert wide.choices[0].logprobs != tall.choices[0].logprobs


@pytest.mark.parametrize(("tokens", "rows"), [(30, 25), (1280, 64)])
async def test_a_picture_is_scaled_to_the_tokens_that_it_may_take(start: Start, tokens: int, rows: int) -> None:
    """More than the model's own bound changes nothing."""
    engine = await start(NAME, images=config.Images(tokens=tokens))
    asked = look(A, "?")
    (view,) = (await engine._asker.plan(asked, 0)).prompt.views
    assert len(view.places) == rows
    answered = await answer(engine, asked)
    assert answered.usage and answered.usage.prompt_tokens == await engine.count(asked)


async def test_a_picture_that_is_too_thin_is_refused_at_its_part(start: Start) -> None:
    engine = await start(NAME)
    with pytest.raises(BadRequest, match="200 times") as caught:
        await answer(engine, look("What is", ["thin", 2, 402], "?"))
    assert caught.value.param == "messages[0].content[1].image_url"


async def test_a_callers_own_words_for_a_picture_move_nothing(start: Start) -> None:
    engine = await start(NAME)
    spelt = f"{seeing_qwen.START}{seeing_qwen.IMAGE}{seeing_qwen.END}"
    plan = await engine._asker.plan(look(f"of {spelt} or", A, "what?"), 0)
    (view,) = plan.prompt.views
    before = engine._tokens.encode(f"of {spelt} or")
    assert plan.prompt.ids.count(seeing_qwen.TOKEN) == 65
    laid = positions(len(plan.prompt.ids), plan.prompt.views)
    assert laid is not None
    assert laid[0, view.places[0]] == view.places[0] > len(before)
    assert isinstance(said(await answer(engine, look(f"of {spelt} or", A, "what?"))), str)
