"""Pictures being looked at, piece by piece, beside answers."""

import asyncio
import time
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from asking import Start, first, look, request
from tertulia.engine import gallery as module
from tertulia.engine.engine import Engine
from tertulia.engine.gallery import Gallery
from tertulia.engine.view import Rows, View

PIECE = 0.005


class Slow:
    """A tower whose pieces take a known time."""

    def pieces(self, tiles: Any) -> int:
        return 40

    def see(self, tiles: Any) -> Generator[None, None, Rows]:
        for _ in range(self.pieces(tiles)):
            time.sleep(PIECE)
            yield
        return np.zeros((1, 1), np.float32)


async def test_no_piece_is_begun_that_would_be_over_too_late() -> None:
    tower: Any = Slow()
    gallery = Gallery(tower, 1000, lambda: None)
    view = View(b"a", np.zeros(1, np.int64), np.zeros((1, 1, 1, 3), np.uint8))
    waiting = asyncio.create_task(gallery.see(view))
    await asyncio.sleep(0)
    done: list[int] = []
    while (one := gallery.pick()) is not None:
        before = gallery.made
        gallery.work(one, 2.6 * PIECE)
        gallery.tell(one)
        done.append(gallery.made - before)
    await waiting
    assert sum(done) == 40
    assert set(done[8:-1]) <= {1, 2}, "as soon as it is known how long they take"


async def drain(engine: Engine, asked: Any) -> None:
    async for _ in engine.chat(asked):
        pass


def passes(engine: Engine) -> list[Any]:
    """The passes as they are scheduled from now on."""
    seen: list[Any] = []
    schedule = engine._scheduler.schedule

    def scheduled(budget: int) -> Any:
        if (done := schedule(budget)) is not None:
            seen.append(done)
        return done

    engine._scheduler.schedule = scheduled  # type: ignore[method-assign]
    return seen


def shown(count: int) -> list[Any]:
    return [look([f"p{index}", 64, 64], "what?", max_tokens=3) for index in range(count)]


@pytest.mark.parametrize("gather", [5.0, 0.0])
async def test_chats_about_pictures_that_are_soon_seen_begin_together(
    start: Start, monkeypatch: pytest.MonkeyPatch, gather: float
) -> None:
    monkeypatch.setattr(module, "GATHER", gather)
    engine = await start("idefics3")
    seen = passes(engine)
    await asyncio.gather(*(drain(engine, one) for one in shown(4)))
    assert (len(seen[0].sequences) == 4) == (gather > 0)


async def test_pictures_that_take_long_are_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER", 0.2)
    engine = await start("idefics3")
    assert engine._gallery
    await drain(engine, shown(1)[0])
    engine._gallery._piece = 1.0
    seen = passes(engine)
    await asyncio.gather(*(drain(engine, one) for one in shown(3)))
    assert len(seen[0].sequences) < 3, "the one that was seen before begins"


async def test_a_text_does_not_wait_for_pictures(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER", 30.0)
    engine = await start("smolvlm")
    assert engine._gallery
    looking = [asyncio.create_task(drain(engine, one)) for one in shown(6)]
    while not engine._gallery.made:
        await asyncio.sleep(0)
    await drain(engine, request("the", max_tokens=2, logit_bias={}))
    assert engine._gallery._looks
    await asyncio.gather(*looking)


async def test_an_answer_waits_for_a_prompt_or_for_a_picture_but_not_for_both(start: Start) -> None:
    engine = await start("smolvlm")
    assert engine._gallery
    events: list[str] = []
    schedule, work = engine._scheduler.schedule, engine._gallery.work

    def scheduled(budget: int) -> Any:
        done = schedule(budget)
        events.append("mixed" if done and done.answers and done.prefilled else "pass" if done else "none")
        return done

    def worked(one: Any, seconds: float) -> None:
        events.append("look")
        work(one, seconds)

    engine._scheduler.schedule = scheduled  # type: ignore[method-assign]
    engine._gallery.work = worked  # type: ignore[method-assign]
    talk = engine.chat(request("the", max_tokens=3000, logit_bias={}))
    await first(talk, 2)
    events.clear()

    shown = [drain(engine, look([f"p{index}", 64, 64], "what?", max_tokens=1)) for index in range(4)]
    reading = [drain(engine, request(f"{index} the and of " * 60, max_tokens=1)) for index in range(4)]

    async def listen() -> None:
        async for _ in talk:
            pass

    listening = asyncio.create_task(listen())
    await asyncio.gather(*shown, *reading)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await talk.aclose()
    pairs = list(pairwise(events))
    assert ("look", "pass") in pairs
    assert "mixed" in events
    assert ("look", "mixed") not in pairs
