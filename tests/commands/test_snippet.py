"""``tertulia snippet``."""

import io
import json
import sys
from pathlib import Path

import pytest

from tertulia import cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def say(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["snippet", *words]) == 0
    return capsys.readouterr().out


def refuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["snippet", *words]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_without_a_word_it_is_pythons_openai_at_the_configured_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERTULIA_SERVER_PORT", "8123")
    monkeypatch.setenv("TERTULIA_SERVER_HOST", "0.0.0.0")
    assert (
        say(capsys)
        == """\
import os

from openai import OpenAI

client = OpenAI(
    base_url="http://127.0.0.1:8123/v1",
    api_key=os.environ.get("HF_TOKEN", "none"),
)

completion = client.chat.completions.create(
    model="default",
    messages=[{"role": "user", "content": "What is the capital of France?"}],
)

print(completion.choices[0].message)
"""
    )


def test_each_word_is_heeded(capsys: pytest.CaptureFixture[str]):
    options = ["--language", "javascript", "--client", "fetch", "--provider", "groq", "--stream", "--bill-to", "acme"]
    code = say(
        capsys, "org/big", "--prompt", "it's", "--system", "Be brief.", "--base-url", "https://a.example/v1", *options
    )
    for word in (
        '"org/big:groq"',
        '{ role: "system", content: "Be brief." },\n      { role: "user", content: "it\'s" }',
        "https://a.example/v1/chat/completions",
        "stream: true",
        '"X-HF-Bill-To": "acme"',
        "response.body",
    ):
        assert word in code, word


def test_a_language_alone_or_a_client_alone_suffices(capsys: pytest.CaptureFixture[str]):
    assert "import OpenAI" in say(capsys, "--language", "javascript")
    assert say(capsys, "--client", "curl").startswith("curl ")
    assert "endpointUrl" in say(capsys, "--client", "@huggingface/inference")


def test_an_empty_address_is_hugging_faces(capsys: pytest.CaptureFixture[str]):
    code = say(capsys, "org/big", "--client", "huggingface_hub", "--provider", "groq", "--base-url", "")
    assert 'provider="groq"' in code and "base_url" not in code


def test_a_request_is_read_from_a_file_or_from_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    request = {"model": "m", "messages": [{"role": "user", "content": "é"}], "top_k": 3}
    (tmp_path / "request.json").write_text(json.dumps(request), encoding="utf-8")
    code = say(capsys, "--request", str(tmp_path / "request.json"))
    assert 'model="m"' in code and 'extra_body={"top_k": 3}' in code and "é" in code
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(request).encode())))
    code = say(capsys, "other", "--request", "-", "--stream")
    assert 'model="other"' in code and "stream=True" in code


def test_where_tokens_are_configured_the_code_needs_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERTULIA_TOKENS", "t-1")
    code = say(capsys)
    assert 'os.environ["HF_TOKEN"]' in code and "t-1" not in code


def test_what_is_wrong_is_told_with_what_there_is(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert "one of openai, huggingface, fetch for javascript, not 'axios'" in refuse(
        capsys, "--language", "javascript", "--client", "axios"
    )
    assert "one of python, javascript, shell, not 'perl'" in refuse(capsys, "--language", "perl")
    assert "--prompt and --system can't be said beside it" in refuse(capsys, "--request", "x", "--prompt", "y")
    assert "no-such-file: No such file" in refuse(capsys, "--request", str(tmp_path / "no-such-file"))
    (tmp_path / "bad.json").write_text("[]")
    assert "must be a JSON object" in refuse(capsys, "--request", str(tmp_path / "bad.json"))
    assert "an address such as" in refuse(capsys, "--base-url", "elsewhere")
    assert "Hugging Face has no default model" in refuse(capsys, "--base-url", "")


def test_at_hugging_face_a_model_has_its_whole_name(capsys: pytest.CaptureFixture[str]):
    assert 'model="HuggingFaceTB/SmolLM2-135M-Instruct"' in say(capsys, "smollm2", "--base-url", "")
    assert 'model="smollm2"' in say(capsys, "smollm2")
    assert 'model="org/unknown"' in say(capsys, "org/unknown", "--base-url", "")
