"""Pictures that an engine doesn't take, and what it says of them."""

import threading
import time

import pytest

import seeing
from asking import Start, answer, look, said
from tertulia import config
from tertulia.engine import pictures
from tertulia.errors import BadRequest, Busy, ContextOverflow
from tertulia.types import ChatRequest, Image, ImageUrl, Message, Text

A, B, WIDE = ["a", 64, 64], ["b", 64, 64], ["w", 60, 190]
NAMES = [name for name in seeing.TEMPLATES if name != seeing.NEWER]


async def test_what_is_wrong_with_a_picture_names_its_part(start: Start) -> None:
    engine = await start("idefics3")
    broken = ChatRequest(
        messages=[
            Message(role="system", content="of"),
            Message(role="user", content=[Text("this"), Image(ImageUrl("data:image/png;base64,AAAA"))]),
        ]
    )
    with pytest.raises(BadRequest) as caught:
        await answer(engine, broken)
    assert caught.value.param == "messages[1].content[1].image_url"


async def test_more_pictures_than_allowed_are_refused_at_the_first_that_is_too_many(start: Start) -> None:
    engine = await start("idefics3")
    with pytest.raises(BadRequest, match="hold 21 images; 20 are read") as caught:
        await answer(engine, look("these", *[A] * 21))
    assert caught.value.param == "messages[0].content[21].image_url"
    few = await start("idefics3", images=config.Images(count=2))
    assert said(await answer(few, look(A, B, "what?")))
    with pytest.raises(BadRequest, match="hold 3 images; 2 are read"):
        await answer(few, look(A, B, A, "what?"))


async def test_pictures_that_take_more_than_the_context_are_not_cut_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start("smolvlm", context=640)
    assert engine._gallery
    cuts: list[object] = []
    vision = engine._asker._sight._vision  # type: ignore[union-attr]
    cut = type(vision).cut
    monkeypatch.setattr(type(vision), "cut", lambda *given: cuts.append(given) or cut(*given))
    many = [[f"m{number}", 64, 64] for number in range(8)]  # of 272 tokens each
    with pytest.raises(ContextOverflow, match="context is 640 tokens, and the images alone take more") as caught:
        await answer(engine, look(*many, "what?"))
    assert caught.value.param == "messages"
    assert len(cuts) == 2
    assert engine._gallery.made == 0


async def test_pictures_that_take_too_long_together_are_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await start("idefics3", images=config.Images(timeout=0.1))
    gate = threading.Event()
    with monkeypatch.context() as slow:
        slow.setattr(pictures, "PATIENCE", 0.2)
        slow.setattr(pictures, "read", lambda *_: gate.wait(5))
        began = time.monotonic()
        with pytest.raises(Busy, match=r"images \(1\) took longer than 0\.3 s"):
            await answer(engine, look(A, "what?"))
        assert time.monotonic() - began < 3
        gate.set()
    assert said(await answer(engine, look(A, "what?")))


async def test_a_model_that_sees_says_so_and_one_that_does_not_refuses(start: Start) -> None:
    (card,) = (await start("idefics3")).models()
    assert card.architecture
    assert card.architecture.input_modalities == ["text", "image"]
    blind = await start("smollm2")
    assert blind.models()[0].architecture is None
    with pytest.raises(BadRequest, match="reads text only"):
        await answer(blind, look(A, "what?"))
