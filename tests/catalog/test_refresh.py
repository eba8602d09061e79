"""Providers and the Hub are asked for their models, over real sockets."""

from typing import Any

import pytest

from listing import Site, mapped, site
from tertulia.catalog import refresh
from tertulia.catalog.catalog import Listing
from tertulia.catalog.live import Live
from tertulia.catalog.refresh import Host
from tertulia.net import Net

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
NOW = 1_790_000_000


async def ask(there: Site, *hosts: Host, hub: str | None = None) -> tuple[Live, dict[str, str]]:
    async with Net(connect_timeout=2) as net:
        address = there.url if hub is None else hub
        return await refresh.refresh(net, hosts, Host("hub", address, "/api/models"), Live(), NOW)


async def test_providers_and_the_hub_are_asked_each_with_its_own_key():
    with site() as there:
        there.answers["/v1/models"] = 200, [{"id": "there-m", "context_length": 5}], {}
        there.answers["/api/models"] = 200, [mapped("o/M", "groq", "there-m")], {}
        host = Host("groq", there.url, "/v1/models", {"Authorization": "Bearer k"})
        said, failed = await ask(there, host, Host("hf-inference", there.url))
    assert failed == {}
    assert said.models["o/M"]["groq"] == Listing(id="there-m", context=5, seen=NOW)
    assert ("/v1/models", "Bearer k") in there.asked
    assert {path.partition("pipeline_tag=")[2].partition("&")[0] for path, _ in there.asked if "/api/" in path} == {
        "text-generation",
        "image-text-to-text",
    }
    assert all(key == "" for path, key in there.asked if "/api/" in path)


async def test_the_hub_is_asked_what_is_trending_and_since_when_there_is_it():
    with site() as there:
        item = mapped(LLAMA, "groq", "one") | {"trendingScore": 12, "createdAt": "2024-11-26T16:08:47.000Z"}
        odd = mapped("o/Odd", "groq", "two") | {"trendingScore": "many", "createdAt": "once upon a time"}
        there.answers["/api/models"] = 200, [item, odd], {}
        said, _ = await ask(there, Host("groq", there.url))
    assert (said.trending, said.released) == ({LLAMA: 12}, {LLAMA: "2024-11-26"})
    paths = [path for path, _ in there.asked if "/api/models" in path]
    assert paths and all("expand=trendingScore" in path and "expand=createdAt" in path for path in paths)


async def test_the_hubs_pages_are_followed_at_its_own_address_only():
    with site() as there:
        link = {"Link": f'<{there.url}/api/models?page=2>; rel="next"'}
        there.answers["/api/models"] = 200, [mapped(LLAMA, "groq", "one")], link
        there.answers["page 2"] = 200, [mapped(LLAMA, "cerebras", "two")], {"Link": '<http://10.0.0.1/x>; rel="next"'}
        said, failed = await ask(there)
    assert failed == {}
    assert {provider: listing.id for provider, listing in said.models[LLAMA].items()} == {
        "groq": "one",
        "cerebras": "two",
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((401, {"error": "sk-secret"}, {}), "refuses the key"),
        ((404, {}, {}), "no list of models"),
        ((500, b"oops", {}), "HTTP 500"),
        ((200, b"<html>", {}), "not JSON"),
        ((200, {"data": []}, {}), "no model"),
        ((302, b"", {"Location": "http://127.0.0.1:1/"}), "HTTP 302"),
    ],
)
async def test_who_can_not_be_asked_is_told_and_the_others_count(answer: Any, why: str):
    with site() as there:
        there.answers["/bad/models"] = answer
        there.answers["/v1/models"] = 200, [{"id": "m"}], {}
        said, failed = await ask(
            there,
            Host("bad", there.url, "/bad/models", {"Authorization": "Bearer sk-secret"}),
            Host("good", there.url, "/v1/models"),
            hub="http://127.0.0.1:1",
        )
    assert set(failed) == {"bad", "hub"}
    assert why in failed["bad"]
    assert "secret" not in str(failed)
    assert set(said.asked) == {"good"}
    assert said.models["m"]["good"].live
