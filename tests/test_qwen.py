"""The second model calls tools by itself, and tells what they say: through the openai package's own helpers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from service import environment, serving

FILE = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
MODEL = "qwen"


class GetWeather(BaseModel):
    """Get the current weather for a city."""

    city: str = Field(description="The city's name")


class Report(BaseModel):
    sentence: str = Field(description="The answer to the user, in one sentence")


@pytest.mark.timeout(300)
def test_a_loop_of_two_turns_ends_in_the_right_sentence(tmp_path: Path):
    weights = Path(os.environ.get("TERTULIA_TEST_MODELS", ".")) / FILE
    if not weights.exists():
        pytest.skip(f"{FILE} is not here: set TERTULIA_TEST_MODELS to the folder that holds it")
    command = [sys.executable, "-m", "tertulia.cli", "pull", str(weights), "--as", MODEL]
    subprocess.run(command, env=environment(tmp_path, tmp_path / "store"), check=True, capture_output=True)
    tool: Any = openai.pydantic_function_tool(GetWeather, name="get_weather")
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    with serving(tmp_path, model=MODEL, store=tmp_path / "store") as service:
        service.wait(120)
        client = openai.OpenAI(base_url=f"{service.address}/v1", api_key="none", timeout=120)
        told: dict[str, Any] = {"model": MODEL, "tools": [tool], "temperature": 0, "max_tokens": 100}
        with client.chat.completions.stream(messages=messages, parallel_tool_calls=False, **told) as stream:
            first = stream.get_final_completion().choices[0]
        assert first.finish_reason == "tool_calls" and first.message.tool_calls
        (call,) = first.message.tool_calls
        assert call.function.parsed_arguments == GetWeather(city="Paris")
        weather = '{"city": "Paris", "temperature": "23 °C", "condition": "sunny"}'
        messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": weather}]
        last = client.chat.completions.parse(messages=messages, response_format=Report, **told).choices[0]
        assert last.message.parsed and not last.message.tool_calls
        assert all(word in last.message.parsed.sentence for word in ("Paris", "23", "sunny"))
