"""The clients people have: openai and huggingface_hub, sync, async, streaming, and their errors."""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

ASK: list[Any] = [{"role": "user", "content": "one two three"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


async def aside(work: Callable[[], Any]) -> Any:
    """A blocking client's work, beside the server's loop."""
    return await asyncio.to_thread(work)


class TestOpenai:
    async def test_sync(self, url: str):
        def work() -> tuple[ChatCompletion, list[ChatCompletionChunk], list[str]]:
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
                whole = client.chat.completions.create(model="echo", messages=ASK, logprobs=True, top_logprobs=1)
                stream = client.chat.completions.create(
                    model="echo", messages=ASK, stream=True, stream_options={"include_usage": True}
                )
                return whole, list(stream), [model.id for model in client.models.list()]

        whole, chunks, models = await aside(work)
        ChatCompletion.model_validate(whole.model_dump(), strict=True)
        assert whole.choices[0].message.content == "one two three"
        assert whole.choices[0].logprobs and whole.choices[0].logprobs.content
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
        assert chunks[-1].usage and chunks[-1].usage.total_tokens == 6
        assert models[0] == "test/echo"

    async def test_async(self, url: str):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            whole = await client.chat.completions.create(model="echo", messages=ASK)
            assert whole.choices[0].message.content == "one two three"
            stream = await client.chat.completions.create(model="echo", messages=ASK, stream=True)
            assert [chunk.choices[0].delta.content async for chunk in stream] == ["one", " two", " three", ""]

    async def test_the_streaming_helper_folds_to_the_whole_answer(self, url: str):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            async with client.chat.completions.stream(model="echo", messages=ASK, tools=TOOLS) as stream:
                final = await stream.get_final_completion()
            message = final.choices[0].message
            assert (message.role, message.content) == ("assistant", "one two three")
            assert message.tool_calls and message.tool_calls[0].function.arguments == '{"a":1}'
            again = await client.chat.completions.create(
                model="echo", messages=[*ASK, message, {"role": "tool", "tool_call_id": "call-1", "content": "four"}]
            )
            assert again.choices[0].message.content == "four"

    async def test_errors(self, url: str):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            with pytest.raises(openai.BadRequestError) as bad:
                await client.chat.completions.create(model="echo", messages=ASK, temperature=3)
            assert (bad.value.param, bad.value.request_id is None) == ("temperature", False)
            with pytest.raises(openai.NotFoundError, match="test/echo"):
                await client.chat.completions.create(model="nothing", messages=ASK)
            busy: list[Any] = [{"role": "user", "content": "!busy"}]
            with pytest.raises(openai.RateLimitError, match="queue is full"):
                await client.chat.completions.create(model="echo", messages=busy)
            late: list[Any] = [{"role": "user", "content": "one !upstream"}]
            stream = await client.chat.completions.create(model="echo", messages=late, stream=True)
            with pytest.raises(openai.APIError, match="was cut off"):
                async for _ in stream:
                    pass


class TestHuggingFace:
    async def test_sync(self, url: str):
        def work() -> tuple[Any, list[Any]]:
            client = InferenceClient(base_url=f"{url}/v1", api_key="none")
            whole = client.chat.completions.create(messages=ASK, max_tokens=5)
            return whole, list(client.chat_completion(ASK, stream=True))

        whole, chunks = await aside(work)
        assert whole.choices[0].message.content == "one two three"
        assert (whole.model, whole.usage.total_tokens) == ("test/echo", 6)
        assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "one two three"

    async def test_async(self, url: str):
        async with AsyncInferenceClient(base_url=f"{url}/v1", api_key="none") as client:
            whole = await client.chat_completion(ASK, model="echo")
            assert whole.choices[0].message.content == "one two three"
            stream = await client.chat_completion(ASK, stream=True)
            assert [chunk.choices[0].delta.content async for chunk in stream] == ["one", " two", " three", ""]

    async def test_an_error_shows_its_text(self, url: str):
        async with AsyncInferenceClient(base_url=f"{url}/v1", api_key="none") as client:
            with pytest.raises(HfHubHTTPError, match="temperature must be between 0 and 2, not 3"):
                await client.chat_completion(ASK, temperature=3)
