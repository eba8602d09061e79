"""A provider's own address, behind its name: what is asked there is asked of it."""

from collections.abc import AsyncGenerator

import pytest

from echo import MODEL, Echo
from talk import Ask, chat
from tertulia.config import Config
from tertulia.server.app import running
from tertulia.types import Attempt

ROUTES = {
    "cohere": "/compatibility/v1/chat/completions",
    "hf-inference": "/models/{model}/v1/chat/completions",
}


@pytest.fixture
async def url(backend: Echo, config: Config) -> AsyncGenerator[str, None]:
    async with running(backend, config, routes=ROUTES) as address:
        yield address


@pytest.mark.parametrize(
    ("path", "provider", "model"),
    [
        ("/cohere/compatibility/v1/chat/completions", "cohere", "their-id"),
        ("/cohere/v1/chat/completions", "cohere", "their-id"),
        ("/hf-inference/models/org/name/v1/chat/completions", "hf-inference", "org/name"),
        ("/v1/chat/completions", "", MODEL),
    ],
)
async def test_the_address_names_the_provider_and_may_name_the_model(
    ask: Ask, backend: Echo, path: str, provider: str, model: str
) -> None:
    asked = "echo" if not provider else "their-id"
    said = await ask(chat("hello", model=asked), path)
    assert said.status == 200
    (request,) = backend.requests
    assert (request.caller.provider, request.model) == (provider, model)


async def test_another_path_behind_a_providers_name_says_which_is_right(ask: Ask) -> None:
    said = await ask(chat("hello"), "/cohere/v2/chat")
    assert said.status == 404 and "/cohere/compatibility/v1/chat/completions" in said.error["message"]
    assert (await ask(None, "/cohere/v1/chat/completions")).status == 405


async def test_the_billing_header_travels_and_the_token_is_kept_apart(ask: Ask, backend: Echo) -> None:
    await ask(chat("hello"), X_HF_Bill_To="my-org", Cookie="secret=1")
    assert backend.requests[0].caller.headers == {"X-HF-Bill-To": "my-org"}


async def test_who_was_asked_is_told_where_that_is_wanted(ask: Ask, backend: Echo) -> None:
    backend.route = [Attempt("together", "m", "failed", "502: gone", 0.1), Attempt("groq", "m", "served")]
    for stream in (False, True):
        said = await ask(chat("hello", stream=stream), x_tertulia_route="1")
        assert said.headers["x-tertulia-route"] == (
            '[{"provider":"together","model":"m","outcome":"failed","why":"502: gone","seconds":0.1},'
            '{"provider":"groq","model":"m","outcome":"served"}]'
        )
    assert "x-tertulia-route" not in (await ask(chat("hello"))).headers


async def test_a_comment_goes_out_as_one(ask: Ask, backend: Echo) -> None:
    backend.comment = "continued by groq"
    said = await ask(chat("hello", stream=True))
    assert b": continued by groq\n\n" in said.body and said.said() == "hello"
    assert (await ask(chat("hello"))).json["choices"][0]["message"]["content"] == "hello"


async def test_a_stream_that_began_with_a_ping_tells_who_answers_in_comments(ask: Ask, backend: Echo) -> None:
    backend.route = [Attempt("groq", "m", "served")]
    said = await ask(chat("!1.2 late", stream=True), x_tertulia_route="1")
    assert said.body.startswith(b": ping\n\n") and "x-inference-provider" not in said.headers
    assert b'\n\n: x-inference-provider: echo\n\n: x-tertulia-route: [{"provider":"groq"' in said.body
    assert said.said() == "late"
