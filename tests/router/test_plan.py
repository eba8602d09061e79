"""What a name comes to, who can honour what, and what is said where nobody can."""

import time
from typing import Any

import pytest
from msgspec import structs

from echo import MODEL
from router_setup import Far, Setup, asked, chunks, party, route, row, said, setup
from tertulia.catalog.catalog import Listing
from tertulia.errors import BadRequest, ContextOverflow, Unauthorized, UnknownModel, Unsupported
from tertulia.types import Architecture, Caller, Function, Image, ImageUrl, ModelCard, Text, Tool

__all__ = ["setup"]


async def test_a_model_of_this_machine_answers_for_itself(setup: Setup) -> None:
    answer = await chunks(setup.router(party("together")), asked(MODEL))
    assert said(answer) == "one two three" and route(answer) == [("local", "served")]
    assert setup.home.requests[0].model == MODEL


@pytest.mark.parametrize("name", ["", "default", "dummy", "tgi", "echo", "TEST/ECHO"])
async def test_no_name_and_an_alias_mean_a_model_of_this_machine(setup: Setup, name: str) -> None:
    router = setup.router(party("together"))
    assert router.resolve(name) == MODEL
    assert route(await chunks(router, asked(name))) == [("local", "served")]


async def test_a_provider_is_asked_for_its_own_id(setup: Setup) -> None:
    far = Far()
    answer = await chunks(setup.router(party("together", far)), asked("org/far"))
    assert far.requests[0].model == "together-far" and route(answer) == [("together", "served")]
    assert answer[0].meta and answer[0].meta.provider == "together"


async def test_pinned_to_a_provider_nobody_else_answers(setup: Setup) -> None:
    router = setup.router(party("together"), party("groq"))
    assert route(await chunks(router, asked("org/far:groq"))) == [("groq", "served")]
    assert router.resolve("org/far:groq") == "org/far:groq"


async def test_the_address_pins_too_and_takes_the_providers_own_id(setup: Setup) -> None:
    far = Far()
    router = setup.router(party("together"), party("groq", far))
    for name in ("org/far", "groq-far"):
        answer = await chunks(router, asked(name, caller=Caller(provider="groq")))
        assert route(answer) == [("groq", "served")] and far.requests[-1].model == "groq-far"


async def test_any_model_passes_through_to_a_provider_of_the_users_own(setup: Setup) -> None:
    far = Far()
    router = setup.router(party("mine", far, models=(), custom=True))
    assert route(await chunks(router, asked("never/heard-of:it:mine"))) == [("mine", "served")]
    assert far.requests[0].model == "never/heard-of:it"


async def test_fallback_models_are_tried_in_their_order(setup: Setup) -> None:
    router = setup.router(party("together", models=("org/a",)), party("groq", models=("org/b",)))
    assert route(await chunks(router, asked("org/none", models=["org/b", "org/a"]))) == [("groq", "served")]


async def test_without_a_key_a_provider_is_not_asked(setup: Setup) -> None:
    router = setup.router(party("together", why="set TOGETHER_API_KEY"), party("groq"))
    assert route(await chunks(router, asked("org/far"))) == [("groq", "served")]
    with pytest.raises(Unauthorized, match="TOGETHER_API_KEY"):
        await chunks(router, asked("org/far:together"))
    alone = setup.router(party("together", why="set TOGETHER_API_KEY"))
    with pytest.raises(UnknownModel, match="TOGETHER_API_KEY"):
        await chunks(alone, asked("org/far"))


async def test_an_unknown_model_tells_the_nearest(setup: Setup) -> None:
    router = setup.router(party("together"))
    with pytest.raises(UnknownModel, match="nearest is org/far"):
        await chunks(router, asked("org/fat"))


async def test_a_provider_that_told_what_it_serves_is_not_asked_for_more(setup: Setup) -> None:
    parties = (party("together"), party("groq", models=()))
    assert route(await chunks(setup.router(*parties), asked("org/far:groq"))) == [("groq", "served")]
    told = {"org/other": {"groq": Listing(id="g", seen=1)}}
    with pytest.raises(BadRequest, match="org/far:together"):
        await chunks(setup.router(*parties, told=told), asked("org/far:groq"))


async def test_no_name_behind_a_provider_is_its_first_model(setup: Setup) -> None:
    far = Far()
    router = setup.router(party("together", far), party("groq", models=()))
    assert router.resolve("default:together") == "org/far:together"
    await chunks(router, asked("default:together"))
    assert far.requests[0].model == "together-far"
    with pytest.raises(UnknownModel, match="name the model"):
        router.resolve("default:groq")


async def test_where_another_model_answers_a_warning_says_so(setup: Setup) -> None:
    answer = await chunks(setup.router(party("together", why="no key"), stand_in=True), asked("org/far"))
    assert answer[0].meta and answer[0].meta.warnings == [
        f"org/far could not be asked: {MODEL} of this machine answered"
    ]


def listing(**fields: bool) -> Listing:
    return Listing(id="there", fields=fields)


async def test_only_who_can_honour_every_field_is_asked(setup: Setup) -> None:
    rows = (row("org/model", together=listing(logprobs=False), groq=listing(logprobs=True, tools=False)),)
    router = setup.router(party("together", models=()), party("groq", models=()), rows=rows)
    answer = await chunks(router, asked("org/model", logprobs=True))
    assert route(answer) == [("together", "skipped"), ("groq", "served")]
    tool = Tool(function=Function(name="f"))
    answer = await chunks(router, asked("org/model", tools=[tool]))
    assert route(answer) == [("groq", "skipped"), ("together", "served")]
    with pytest.raises(Unsupported) as refused:
        await chunks(router, asked("org/model", tools=[tool], logprobs=True))
    assert refused.value.param in ("logprobs", "tools")
    assert "can't honour" in refused.value.message and "without" in refused.value.message
    assert MODEL in refused.value.message  # this machine's model is not known to lack either


async def test_a_context_that_is_too_short_is_passed_over(setup: Setup) -> None:
    rows = (row("org/model", together=Listing(id="t", context=100), groq=Listing(id="g", context=1000)),)
    router = setup.router(party("together", models=()), party("groq", models=()), rows=rows)
    assert route(await chunks(router, asked("org/model", "word " * 150)))[-1] == ("groq", "served")
    with pytest.raises(ContextOverflow, match="groq takes 1000"):
        await chunks(router, asked("org/model:groq", "word " * 5000))


async def test_an_image_that_nobody_sees_is_refused_at_its_place(setup: Setup) -> None:
    content: Any = [Text("what is it?"), Image(ImageUrl("data:image/png;base64,"))]
    with pytest.raises(Unsupported) as refused:
        await chunks(setup.router(), asked(MODEL, content))
    assert refused.value.param == "messages[0].content[1]"


async def test_who_can_t_see_is_refused_with_those_that_are_known_to(setup: Setup) -> None:
    content: Any = [Text("what is it?"), Image(ImageUrl("https://host/a.png"))]
    there = Listing(id="there")
    sees = structs.replace(row("org/sees", together=there), input=("text", "image"))
    rows = (row("org/reads", together=there), sees)
    router = setup.router(party("together", models=("org/aaa",)), rows=rows)  # of the last nobody knows
    with pytest.raises(Unsupported, match=r"org/reads:together can't honour image; org/sees:together could") as refused:
        await chunks(router, asked("org/reads", content))
    assert refused.value.param == "messages[0].content[1]"
    keyless = setup.router(party("together", models=(), why="there is no key for it"), rows=rows)
    with pytest.raises(Unsupported, match=r"org/sees:together \(there is no key for it\) could"):
        await chunks(keyless, asked(MODEL, content))


async def test_a_model_of_this_machine_that_sees_is_asked_though_the_catalog_knows_nothing_of_it(setup: Setup) -> None:
    content: Any = [Text("what is it?"), Image(ImageUrl("data:image/png;base64,"))]
    sees = Architecture(["text", "image"], ["text"])
    card = ModelCard(id=MODEL, created=0, owned_by="local", architecture=sees)
    setup.home.models = lambda: [card]
    router = setup.router()
    await chunks(router, asked(MODEL, content))
    assert setup.home.requests
    assert router.models()[0].architecture == sees


async def test_a_stand_in_answers_for_models_that_nobody_has_and_says_so(setup: Setup) -> None:
    router = setup.router(party("together", why="no key"), stand_in=True)
    for name in ("org/far", "org/far:together", "org/never-heard-of"):
        answer = await chunks(router, asked(name))
        assert answer[0].meta and answer[0].meta.provider == "local"
        assert setup.home.requests[-1].model == MODEL
    assert "org/far" in [card.id for card in router.models()]


async def test_of_this_machines_models_one_stands_in_that_can_honour_the_request(setup: Setup) -> None:
    content: Any = [Text("what is it?"), Image(ImageUrl("data:image/png;base64,"))]
    sees = Architecture(["text", "image"], ["text"])
    cards = [
        ModelCard(id="org/blind", created=0, owned_by="local", architecture=Architecture(["text"], ["text"])),
        ModelCard(id="org/sees", created=0, owned_by="local", architecture=sees),
    ]
    setup.home.models = lambda: cards
    router = setup.router(stand_in=True)
    await chunks(router, asked("org/far", content))
    await chunks(router, asked("org/far", "what is it?"))
    assert [request.model for request in setup.home.requests] == ["org/sees", "org/blind"]


def test_the_list_of_models_tells_their_providers(setup: Setup) -> None:
    rows = (row("org/model", together=Listing(id="t", context=100, price=(1.0, 2.0), fields={"tools": True})),)
    router = setup.router(party("together", models=()), party("groq", why="no key"), rows=rows)
    cards = {card.id: card for card in router.models()}
    assert list(cards) == [MODEL, "other/echo-2", "org/model"]  # org/far has no provider that can be asked
    provider = cards["org/model"].providers[0]  # type: ignore[index]
    assert (provider.provider, provider.status, provider.context_length, provider.supports_tools) == (
        "together",
        "live",
        100,
        True,
    )
    assert provider.pricing and provider.pricing.output == 2.0
    assert router.models() is router.models()


async def test_what_a_provider_no_longer_serves_is_asked_only_where_it_is_pinned(setup: Setup) -> None:
    rows = (row("org/model", together=Listing(id="t", live=False), groq=Listing(id="g")),)
    router = setup.router(party("together", models=()), party("groq", models=()), rows=rows)
    assert route(await chunks(router, asked("org/model"))) == [("groq", "served")]
    assert route(await chunks(router, asked("org/model:together"))) == [("together", "served")]


async def test_a_mistyped_model_is_not_answered_by_the_one_of_last_resort(setup: Setup) -> None:
    router = setup.router(party("together"), fallback="echo")
    with pytest.raises(UnknownModel):
        await chunks(router, asked("org/fat"))


def test_an_unknown_name_costs_little_among_many_models(setup: Setup) -> None:
    many = tuple(f"org{number}/model-{number}-instruct" for number in range(2000))
    router = setup.router(party("together", models=many))
    started = time.perf_counter()
    error = router.index.unknown(router.index.read("org77/model-77-instrukt"))
    assert "org77/model-77-instruct" in error.message and time.perf_counter() - started < 0.25
