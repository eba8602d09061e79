"""The background check probes what is in use, when it is due, for no more than it may spend."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from echo import Echo
from mind import Mind
from talk import until
from tertulia.config import Config
from tertulia.config import Router as Settings
from tertulia.errors import BadRequest, Busy, ConfigError, TertuliaError, Unsupported
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.router.findings import Probes
from tertulia.router.index import Index, Party
from tertulia.router.order import LOCAL, Wish
from tertulia.router.probe import Finding
from tertulia.router.rounds import MOST, Rounds
from tertulia.router.router import Router
from tertulia.server.app import running
from tertulia.types import ChatRequest, Function, Message, Tool

HOUR = 3600.0
PRICE = (1.0, 10.0)
ROW = {"org/model": "there"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000 * HOUR + 1

    def __call__(self) -> float:
        return self.now


class Place:
    """A router's index over a provider ``far``, and the rounds over it."""

    def __init__(
        self,
        mind: Any,
        file: Path,
        price: tuple[float, float] | None = PRICE,
        pause: float = 0,
        tick: float = 0.005,
        **said: Any,
    ) -> None:
        settings = Settings(**({"probe": True} | said))
        self.clock = Clock()
        self.mind = mind
        self.probes = Probes(file, self.clock)
        party = Party(name="far", backend=mind, models=ROW, price=price)
        self.index = Index(Echo(), [party], [], {}, self.probes.fields)
        self.probes.changed = self.index.renew
        self.rounds = Rounds(self.probes, self.index, settings, clock=self.clock, pause=pause, tick=tick)

    async def asked_after(self, hours: float) -> int:
        """The requests that a round takes, so many hours later."""
        self.clock.now += hours * HOUR
        before = len(self.mind.requests)
        self.rounds.used("far", "org/model")
        await self.rounds.go()
        return len(self.mind.requests) - before


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "probes.json"


class TestWhen:
    async def test_only_what_is_used_is_probed(self, file: Path) -> None:
        place = Place(Mind(), file)
        await place.rounds.go()
        assert not place.mind.requests
        place.rounds.used("far", "org/model")
        await place.rounds.go()
        assert {request.model for request in place.mind.requests} == {"there"}
        assert place.probes.fields("far", "org/model")["tools"][0]

    async def test_each_six_hours_and_hourly_after_a_failure(self, file: Path) -> None:
        place = Place(Mind(), file)
        whole = await place.asked_after(0)
        assert whole
        assert await place.asked_after(5.9) == 0
        assert await place.asked_after(0.2) == whole
        place.mind.raises = {"logprobs": Busy("slow down")}
        assert await place.asked_after(6)
        assert await place.asked_after(0.9) == 0
        place.mind.raises = {}
        assert await place.asked_after(0.2)
        assert await place.asked_after(5) == 0

    async def test_what_was_probed_before_a_restart_waits_for_its_time(self, file: Path) -> None:
        assert await Place(Mind(), file).asked_after(0)
        assert await Place(Mind(), file).asked_after(1) == 0

    async def test_what_is_no_longer_used_is_left_in_peace(self, file: Path) -> None:
        place = Place(Mind(), file)
        place.rounds.used("far", "org/model")
        place.clock.now += 25 * HOUR
        await place.rounds.go()
        assert not place.mind.requests

    async def test_what_is_gone_is_passed_over(self, file: Path) -> None:
        place = Place(Mind(), file)
        place.rounds.used("nobody", "org/model")
        place.rounds.used("far", "org/other")
        assert await place.asked_after(0)

    async def test_no_more_is_remembered_than_has_room(self, file: Path) -> None:
        place = Place(Mind(), file)
        for i in range(MOST + 50):
            place.rounds.used("far", f"m-{i}")
        assert len(place.rounds._used) == MOST  # pyright: ignore[reportPrivateUsage]


class TestMoney:
    async def test_a_day_costs_no_more_than_its_budget(self, file: Path) -> None:
        place = Place(Mind(), file, price=(10.0, 50.0), probe_budget=0.03)
        spent = 0.0
        for _ in range(4):
            await place.asked_after(5)
            spent = max(spent, place.probes.spent)
        assert 0 < spent <= 0.03
        place.clock.now += 24 * HOUR
        assert await place.asked_after(0)

    async def test_what_is_too_dear_is_told_once_a_day(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        place = Place(Mind(), file, price=(100.0, 500.0), probe_budget=0.1)
        for _ in range(3):
            assert await place.asked_after(0) == 0
        assert caplog.text.count("org/model:far is not probed") == 1
        assert "probe_budget" in caplog.text

    async def test_an_unknown_price_stops_the_check_and_says_so(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert await Place(Mind(), file, price=None).asked_after(0) == 0
        assert "its price is not known; probe_price" in caplog.text

    async def test_an_unknown_price_may_be_guessed(self, file: Path) -> None:
        place = Place(Mind(), file, price=None, probe_price=2.0)
        assert await place.asked_after(0)
        assert place.probes.spent > 0

    async def test_this_machine_costs_nothing(self, file: Path) -> None:
        place = Place(Mind(), file, probe_budget=0)
        place.index = Index(place.mind, [], [], {}, place.probes.fields)
        place.rounds = Rounds(place.probes, place.index, Settings(probe=True, probe_budget=0), pause=0)
        place.rounds.used(LOCAL, "test/mind")
        await place.rounds.go()
        assert place.mind.requests
        assert place.probes.spent == 0

    async def test_a_probe_that_is_stopped_is_paid_for(self, file: Path) -> None:
        class Slow(Mind):
            async def chat(self, request: ChatRequest) -> AsyncGenerator[Any, None]:
                self.slow = 60 if request.logprobs else 0
                async for chunk in super().chat(request):
                    yield chunk

        place = Place(Slow(), file)
        place.rounds.used("far", "org/model")
        place.rounds.start()
        await until(lambda: any(request.logprobs for request in place.mind.requests) and place.mind.open == 1)
        await place.rounds.stop()
        assert place.mind.open == 0
        assert place.probes.spent > 0
        assert not place.probes.known("far", "org/model")


class TestTheTask:
    async def test_it_works_until_it_is_stopped(self, file: Path) -> None:
        place = Place(Mind(), file)
        place.rounds.start()
        place.rounds.used("far", "org/model")
        await until(lambda: bool(place.probes.fields("far", "org/model")))
        await place.rounds.stop()
        seen = len(place.mind.requests)
        place.clock.now += 7 * HOUR
        await asyncio.sleep(0.03)
        assert len(place.mind.requests) == seen
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "rounds"]
        await place.rounds.stop()

    async def test_it_sends_nothing_unless_it_is_switched_on(self, file: Path) -> None:
        place = Place(Mind(), file, probe=False)
        place.rounds.start()
        place.rounds.used("far", "org/model")
        await asyncio.sleep(0.03)
        await place.rounds.stop()
        assert not place.mind.requests

    async def test_what_another_process_found_is_learnt_all_the_same(self, file: Path) -> None:
        place = Place(Mind(), file, probe=False)
        place.rounds.start()
        await Probes(file).keep("far", "org/model", {"tools": Finding(works=False, when=1)})
        await until(lambda: bool(place.probes.fields("far", "org/model")))
        await place.rounds.stop()

    async def test_a_defect_that_ends_it_is_told(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(Mind):
            async def chat(self, request: ChatRequest) -> AsyncGenerator[Any, None]:
                raise ZeroDivisionError("a defect")
                yield

        place = Place(Broken(), file)
        place.rounds.used("far", "org/model")
        with caplog.at_level(logging.ERROR):
            place.rounds.start()
            await until(lambda: "has ended" in caplog.text)
        await place.rounds.stop()

    def test_an_image_without_its_word_is_refused_at_the_start(self, file: Path) -> None:
        with pytest.raises(ConfigError, match="probe_image"):
            Place(Mind(), file, probe_image=["https://example.org/cat.png"])
        with pytest.raises(ConfigError, match="probe_image"):
            Place(Mind(), file, probe_image=["cat.png", "cat"])


class TestWhatComesOfIt:
    """The index asks what was found, and is told when it changes."""

    async def test_who_does_not_honour_a_field_is_not_a_candidate_for_it(self, file: Path) -> None:
        raises: dict[str, TertuliaError] = {"tools": BadRequest("no tools here")}
        place = Place(Mind(raises=raises, ignores=("response_format",)), file)
        wish = Wish("org/model", provider="far")
        assert "tools" not in place.index.find(wish)[0].fields
        await place.asked_after(0)
        assert place.index.find(wish)[0].fields["tools"] is False
        assert place.index.find(wish)[0].fields["seed"] is True

    async def test_the_list_of_models_tells_it_with_its_age(self, file: Path) -> None:
        place = Place(Mind(ignores=("response_format",)), file)
        await place.asked_after(0)
        card = next(card for card in place.index.cards({}) if card.id == "org/model")
        assert card.providers
        told = card.providers[0]
        assert (told.supports_tools, told.supports_structured_output) == (True, False)
        assert told.capabilities["logprobs"] is True
        assert told.capabilities["response_format"] is False
        assert told.probed.keys() == told.capabilities.keys()

    async def test_a_model_that_got_eyes_is_found_out(self, file: Path) -> None:
        place = Place(Mind(ignores=("image",)), file)
        await place.asked_after(0)
        assert place.probes.fields("far", "org/model")["image"][0] is False
        place.mind.ignores = ()
        await place.asked_after(7)
        assert place.probes.fields("far", "org/model")["image"][0] is True

    async def test_what_is_asked_for_is_probed_and_told_at_the_address(self, file: Path) -> None:
        """From an answered chat over the probe to the list of models and to the refusal of what can't be had."""
        raises: dict[str, TertuliaError] = {"tools": BadRequest("no tools here")}
        place = Place(Mind(raises=raises), file)
        router = Router(place.index, Settings(), used=place.rounds.used)
        settings = Config()
        settings.server.grace = 0.1
        place.rounds.start()
        try:
            async with Net() as net, running(router, settings, socket=file.with_name("s")) as address:
                far = Remote(net, address)
                question = ChatRequest(messages=[Message(role="user", content="Hi")], model="org/model:far")
                assert [chunk async for chunk in far.chat(question)]
                await until(lambda: bool(place.probes.fields("far", "org/model")))
                card = next(card for card in await far.refresh() if card.id == "org/model")
                assert card.providers
                assert card.providers[0].supports_tools is False
                assert card.providers[0].capabilities["seed"] is True
                assert card.providers[0].probed["seed"] > 0
                question.tools = [Tool(Function("f"))]
                with pytest.raises(Unsupported, match="tools"):
                    [chunk async for chunk in far.chat(question)]
        finally:
            await place.rounds.stop()
