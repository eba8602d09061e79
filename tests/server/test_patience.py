"""A backend that holds the clock itself is not cut off by the server's."""

from collections.abc import AsyncGenerator

from echo import Echo
from talk import Ask, chat
from tertulia.config import Config
from tertulia.types import ChatRequest, Chunk, ChunkMeta


async def test_a_whole_answer_may_take_as_long_as_its_backend_says(ask: Ask, backend: Echo, config: Config) -> None:
    config.server.first_token_timeout = 0.1
    answer = backend.chat

    async def patient(request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        yield Chunk(id="", created=0, model="", choices=[], meta=ChunkMeta(patience=30))
        async for chunk in answer(request):
            yield chunk

    assert (await ask(chat("!0.3 late"))).status == 504
    backend.chat = patient  # type: ignore[method-assign]
    said = await ask(chat("!0.3 late"))
    assert said.json["choices"][0]["message"]["content"] == "late"
