"""Pictures being looked at, piece by piece, beside answers."""

import asyncio
import time
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import numpy as np

from asking import Start, first, look, request
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

    async def drain(asked: Any) -> None:
        async for _ in engine.chat(asked):
            pass

    shown = [drain(look([f"p{index}", 64, 64], "what?", max_tokens=1)) for index in range(4)]
    reading = [drain(request(f"{index} the and of " * 60, max_tokens=1)) for index in range(4)]

    async def listen() -> None:
        async for _ in talk:
            pass

    listening = asyncio.create_task(listen())
    await asyncio.gather(*shown, *reading)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await talk.aclose()
    pairs = list(pairwise(events))
    assert ("pass", "look") in pairs
    assert "mixed" in events
    assert ("mixed", "look") not in pairs
