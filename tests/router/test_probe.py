"""Capabilities are probed: what works, what doesn't, and what could not be found out, told apart."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from mind import Mind
from tertulia import config
from tertulia.config import Config
from tertulia.engine.engine import Engine
from tertulia.errors import BadRequest, Busy, EngineFault, SpendCap, TertuliaError, Unauthorized, Unsupported, Upstream
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.router.checks import Picture
from tertulia.router.probe import Finding, Purse, probe
from tertulia.server.app import running
from tertulia.types import DeltaFunction, TopLogprob

FIELDS = ["usage", "tools", "tool_choice", "response_format", "json_object", "logprobs", "seed", "n", "stop"]
CAT = Picture("https://example.org/cat.png", "cat")


async def found(mind: Any, *, sees: bool = False, timeout: float = 5, **options: Any) -> dict[str, Finding]:
    return await probe(mind, "test/mind", sees=sees, timeout=timeout, **options)


class TestWhatWorks:
    async def test_a_backend_that_honours_everything_is_found_to(self) -> None:
        told = await found(Mind(), sees=True, picture=CAT)
        assert list(told) == [*FIELDS, "image", "image_url"]
        assert {name: finding.works for name, finding in told.items()} == dict.fromkeys(told, True)
        assert all(finding.when > 1_600_000_000 and finding.tokens and not finding.why for finding in told.values())

    async def test_images_are_shown_only_to_a_model_with_eyes(self) -> None:
        mind = Mind()
        assert list(await found(mind, picture=CAT)) == FIELDS
        assert all(isinstance(request.messages[0].content, str) for request in mind.requests)

    async def test_requests_are_tiny_and_two_at_a_time(self) -> None:
        mind = Mind(slow=0.01)
        await found(mind, sees=True)
        assert mind.most_open == 2
        assert (mind.open, mind.closed) == (0, len(mind.requests))
        assert len(mind.requests) <= 14
        assert all((request.max_tokens or 0) <= 64 and request.model == "test/mind" for request in mind.requests)
        assert {request.temperature for request in mind.requests if request.seed is None} == {0}

    async def test_a_model_that_thinks_is_given_room_for_it(self) -> None:
        mind = Mind(think=True)
        told = await found(mind)
        assert {name for name, finding in told.items() if finding.works} == {*told}
        assert max(request.max_tokens or 0 for request in mind.requests) == 1024

    async def test_a_model_that_has_one_temperature_is_asked_without(self) -> None:
        class OneTemperature(Mind):
            async def chat(self, request: Any) -> AsyncGenerator[Any, None]:
                if request.temperature == 0:
                    raise BadRequest("temperature: only the default of 1 is supported")
                async for chunk in super().chat(request):
                    yield chunk

        told = await found(OneTemperature())
        assert [name for name, finding in told.items() if not finding.works] == []


class TestWhatDoesNot:
    @pytest.mark.parametrize("field", [*FIELDS[2:], "image"])
    async def test_a_field_that_is_passed_over_in_silence_does_not_work(self, field: str) -> None:
        told = await found(Mind(ignores=(field,)), sees=True)
        assert [name for name, finding in told.items() if not finding.works] == [field]
        assert told[field].works is False
        assert told[field].why
        assert not told[field].again

    async def test_tools_that_are_never_called_do_not_work(self) -> None:
        told = await found(Mind(ignores=("tools", "tool_choice")))
        assert told["tools"].works is False
        assert "not even when required" in told["tools"].why

    async def test_a_tool_that_is_called_only_when_it_must_leaves_it_open(self) -> None:
        told = await found(Mind(ignores=("tools",)))
        assert told["tools"].works is None
        assert told["tool_choice"].works is True
        assert told["tools"].why.endswith("it does when that is required")

    async def test_a_stream_without_a_usage_is_told(self) -> None:
        told = await found(Mind(lose=True))
        assert [name for name, finding in told.items() if not finding.works] == ["usage"]
        assert told["usage"].works is False

    @pytest.mark.parametrize(
        "error",
        [
            BadRequest("tool_choice 'required' is not supported"),
            BadRequest("no", param="tool_choice"),
            Unsupported("no"),
            BadRequest("Bad Request"),  # says nothing: the same request without the field is answered
        ],
    )
    async def test_a_refusal_is_of_the_field(self, error: TertuliaError) -> None:
        told = await found(Mind(raises={"tool_choice": error}))
        assert told["tool_choice"].works is False
        assert told["tool_choice"].why == f"400: {error.message}"
        assert told["tools"].works is True

    async def test_what_the_same_seed_and_another_give_alike_says_nothing(self) -> None:
        class Dull(Mind):
            def _text(self, request: Any, fields: list[str]) -> str:
                return "Always this." if "poem" in str(request.messages) else super()._text(request, fields)

        told = await found(Dull())
        assert told["seed"].works is None
        assert not told["seed"].again

    @pytest.mark.parametrize(
        ("likely", "why"),
        [
            ([], "0 likely tokens came where 2 were asked for"),
            ([-0.1], "1 likely tokens came where 2 were asked for"),
            ([-2.5, -0.1], "the likely tokens aren't in order"),
            ([0.9, -2.5], "a logarithm of a probability is above 0"),
        ],
    )
    async def test_logprobs_must_be_what_they_are_called(self, likely: list[float], why: str) -> None:
        class Odd(Mind):
            def _answer(self, request: Any, fields: list[str]) -> Any:
                chunks = super()._answer(request, fields)
                if request.logprobs:
                    chunks[0].choices[0].logprobs.content[0].top_logprobs = [TopLogprob("a", at) for at in likely]
                return chunks

        told = await found(Odd())
        assert (told["logprobs"].works, told["logprobs"].why) == (False, why)

    @pytest.mark.parametrize(
        "text",
        [
            "{}",
            '{"quokkle": "brimsel"}',
            '{"quokkle": "brimsel", "vashtem": "happy"}',
            '{"quokkle": "brimsel", "vashtem": "graftle", "age": 3}',
            '```json\n{"quokkle": "brimsel", "vashtem": "graftle"}\n```',
            '["quokkle", "vashtem"]',
            "A cat is an animal.",
        ],
    )
    async def test_an_answer_must_fit_its_schema_exactly(self, text: str) -> None:
        class Loose(Mind):
            def _text(self, request: Any, fields: list[str]) -> str:
                return text if "response_format" in fields else super()._text(request, fields)

        told = await found(Loose())
        assert told["response_format"].works is False
        assert told["json_object"].works is True

    @pytest.mark.parametrize(
        ("name", "arguments"), [("other", '{"city": "Paris"}'), ("get_weather", "{"), ("get_weather", '{"place": 1}')]
    )
    async def test_a_call_must_fit_its_tool(self, name: str, arguments: str) -> None:
        class Wild(Mind):
            def _answer(self, request: Any, fields: list[str]) -> Any:
                chunks = super()._answer(request, fields)
                if request.tools:
                    chunks[0].choices[0].delta.tool_calls[0].function = DeltaFunction(name, arguments)
                return chunks

        told = await found(Wild())
        assert [told[field].works for field in ("tools", "tool_choice")] == [False, False]


class TestWhatIsNotFoundOut:
    @pytest.mark.parametrize(
        "error", [Busy("slow down", retry_after=3), EngineFault("a fault"), Upstream("cut"), SpendCap("no money")]
    )
    async def test_an_error_that_is_not_about_the_field_leaves_it_open(self, error: TertuliaError) -> None:
        told = await found(Mind(raises={"logprobs": error}))
        assert told["logprobs"].works is None
        assert told["logprobs"].again
        assert error.message in told["logprobs"].why
        assert [name for name, finding in told.items() if not finding.works] == ["logprobs"]

    async def test_a_refusal_that_also_meets_the_request_without_the_field_leaves_it_open(self) -> None:
        class Closed(Mind):
            async def chat(self, request: Any) -> AsyncGenerator[Any, None]:
                if "poem" in str(request.messages):
                    raise BadRequest("Bad Request")
                async for chunk in super().chat(request):
                    yield chunk

        told = await found(Closed())
        assert told["seed"].works is None
        assert told["seed"].again

    async def test_who_can_not_be_asked_at_all_is_asked_once(self) -> None:
        mind = Mind(raises={"plain": Unauthorized("the key is wrong")})
        told = await found(mind)
        assert list(told) == ["usage"]
        assert (told["usage"].works, told["usage"].again) == (None, True)
        assert told["usage"].why == "401: the key is wrong"
        assert len(mind.requests) == 1

    async def test_silence_has_an_end(self) -> None:
        mind = Mind(slow=60)
        async with asyncio.timeout(2):
            told = await found(mind, timeout=0.05)
        assert told["usage"].why == "504: no answer within 0.05 s"
        assert mind.open == 0

    async def test_an_answer_that_was_cut_off_says_nothing_of_its_form(self) -> None:
        class Talker(Mind):
            def _answer(self, request: Any, fields: list[str]) -> Any:
                chunks = super()._answer(request, fields)
                if request.response_format:
                    chunks[0].choices[0].delta.content = '{"quokkle": "bri'
                    chunks[0].choices[0].finish_reason = "length"
                return chunks

        told = await found(Talker())
        assert told["response_format"].works is None
        assert told["json_object"].works is None
        assert told["json_object"].why == "its answer was cut off"

    async def test_a_probe_that_is_given_up_closes_its_answers(self) -> None:
        mind = Mind(slow=60)
        task = asyncio.create_task(found(mind))
        while not mind.open:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert mind.open == 0


class TestMoney:
    async def test_tokens_are_counted_at_their_price(self) -> None:
        purse = Purse(price=(1.0, 10.0))
        told = await found(Mind(), purse=purse)
        assert told["usage"].cost == pytest.approx((20 + 10 * 10) / 1e6)
        assert told["seed"].cost == pytest.approx(3 * told["usage"].cost)
        assert purse.spent == pytest.approx(sum(finding.cost or 0 for finding in told.values()))

    async def test_what_the_provider_says_it_costs_counts(self) -> None:
        purse = Purse()
        told = await found(Mind(cost=0.25), purse=purse)
        assert told["stop"].cost == 0.25
        assert purse.spent == pytest.approx(sum(finding.cost or 0 for finding in told.values()))

    async def test_without_a_price_nobody_knows(self) -> None:
        assert (await found(Mind()))["stop"].cost is None

    async def test_nothing_is_sent_that_the_purse_could_not_pay(self) -> None:
        purse = Purse(limit=0.0004, price=(1.0, 1.0))
        mind = Mind(slow=0.001)
        told = await found(mind, purse=purse)
        late = [finding for finding in told.values() if finding.why == "the budget is spent"]
        assert purse.spent <= 0.0004
        assert late
        assert all(finding.works is None and finding.again for finding in late)
        assert told["usage"].works
        assert len(mind.requests) < 12
        mind.requests.clear()
        await found(mind, purse=Purse(limit=0, price=(1.0, 1.0)))
        assert not mind.requests

    async def test_who_refuses_is_not_paid_and_who_is_silent_may_have_to_be(self) -> None:
        for error, paid in ((Busy("slow down"), False), (Upstream("cut"), True)):
            purse = Purse(price=(1.0, 1.0))
            told = await found(Mind(raises={"plain": error}), purse=purse)
            assert bool(purse.spent) is paid
            assert told["usage"].cost == purse.spent


class TestOverSockets:
    """The same through a server and a client: nothing is lost on the way."""

    @pytest.fixture
    async def far(self, tmp_path: Path) -> AsyncGenerator[Callable[[Mind], Any], None]:
        async with Net() as net:
            servers: list[Any] = []

            async def start(mind: Mind) -> Remote:
                settings = Config()
                settings.server.grace = 0.1
                server = running(mind, settings, socket=tmp_path / str(len(servers)))
                servers.append(server)
                return Remote(net, await server.__aenter__(), name="far", first_timeout=0.5, idle_timeout=0.3)

            yield start
            for server in servers:
                await server.__aexit__(None, None, None)

    async def test_everything_that_works_is_found_to(self, far: Callable[[Mind], Any]) -> None:
        told = await found(await far(Mind()), sees=True)
        assert [name for name, finding in told.items() if not finding.works] == []

    async def test_errors_are_told_apart(self, far: Callable[[Mind], Any]) -> None:
        raises: dict[str, TertuliaError] = {
            "tools": BadRequest("this model has no tools"),
            "logprobs": Busy("slow down"),
            "n": EngineFault("a fault"),
        }
        told = await found(await far(Mind(raises=raises)))
        assert {name: finding.works for name, finding in told.items() if not finding.works} == {
            "tools": False,
            "tool_choice": False,
            "logprobs": None,
            "n": None,
        }


class TestTheEngine:
    async def test_a_model_that_knows_nothing_is_held_to_what_is_asked(self, tmp_path: Path) -> None:
        """With random weights what comes out right is the engine's doing."""
        tiny.write("smollm2", tmp_path)
        settings = config.Engine(kv=8 << 20, threads=2)
        engine = await Engine.load(tmp_path, name="tiny", digest="0123456789abcdef", settings=settings)
        try:
            told = await probe(engine, "tiny", sees=True, timeout=30)
        finally:
            await engine.aclose()
        held = {"usage", "tool_choice", "response_format", "logprobs", "seed", "n"}
        assert {name for name in held if told[name].works} == held
        # What it writes of its own accord is its own affair, but is not held against the engine.
        assert {name for name, finding in told.items() if finding.works is False} == {"image"}
