"""Images on their way to a remote provider: their URLs are passed on as they are, and fetched by nobody here."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drawing import Site, data_url, file, gradient
from gateway import SEEING, opened

INNER = "http://127.0.0.1:{port}/a%20b.png?x=1&y=%2F#part"


@pytest.mark.parametrize(
    "image",
    [
        {"url": INNER},
        {"url": "https://host.example/ä.jpg", "detail": "high"},
        {"url": data_url(file(gradient()))},
        {"url": "data:image/png;base64,no picture"},
        {"url": "gs://bucket/a.png", "detail": "auto"},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_model_gets_the_url_as_it_is(tmp_path: Path, image: dict[str, Any], stream: bool) -> None:
    async with Site() as inner, opened(tmp_path) as site, aiohttp.ClientSession() as session:
        shown = image | {"url": image["url"].replace("{port}", str(inner.port))}
        parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": shown}]
        messages = [{"role": "user", "content": parts}]
        asked = {"model": SEEING, "messages": messages, "stream": stream}
        async with session.post(f"{site.url}/v1/chat/completions", json=asked) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        (request,) = site.upstream.requests
        assert request.json["messages"] == json.loads(json.dumps(messages))
        assert inner.connections == 0
