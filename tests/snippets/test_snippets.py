"""What snippets look like, and what is refused."""

import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from snipping import CASES, HOSTILE, KINDS, collect
from tertulia.errors import BadRequest
from tertulia.snippets.ask import Settings
from tertulia.snippets.snippets import make, render
from tertulia.snippets.table import HUGGING_FACE, PARAMETERS, ROWS, find

SPEC = Path(__file__).parents[3] / "shared" / "spec"
HERE = Settings("http://127.0.0.1:8080/v1")
ASK: dict[str, Any] = {"model": "org/big", "messages": [{"role": "user", "content": "Hi"}]}
STATUE = "https://cdn.britannica.com/61/93061-050-99147DCE/Statue-of-Liberty-Island-New-York-Bay.jpg"
PAGE: dict[str, tuple[str, dict[str, Any]]] = {
    "snippet_llm.py": (
        "featherless-ai",
        {
            "model": "meta-llama/Llama-3.3-70B-Instruct",
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
        },
    ),
    "snippet_vlm.py": (
        "fireworks-ai",
        {
            "model": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Describe this image in one sentence."},
                        {"type": "image_url", "image_url": {"url": STATUE}},
                    ],
                }
            ],
        },
    ),
}


class TestThePage:
    @pytest.mark.parametrize("name", PAGE)
    @pytest.mark.parametrize("address", ["", HUGGING_FACE, f"{HUGGING_FACE}/"])
    def test_at_hugging_faces_address_its_own_two_snippets_come_out(self, name: str, address: str):
        if not SPEC.is_dir():
            pytest.skip("the page's own snippets are not here")
        provider, request = PAGE[name]
        code = render(request, "python", "huggingface_hub", provider, Settings(address))
        assert code == (SPEC / name).read_text(encoding="utf-8")

    def test_who_is_no_provider_of_hugging_faces_clients_stands_behind_the_model(self):
        code = render(ASK, "python", "huggingface_hub", "cheapest", Settings())
        assert "provider=" not in code and 'model="org/big:cheapest"' in code

    def test_its_javascript_client_is_told_the_provider_too(self):
        code = render(ASK, "javascript", "huggingface", "groq", Settings())
        assert 'provider: "groq",\n  model: "org/big",' in code and "endpointUrl" not in code

    def test_there_the_token_has_no_stand_in(self):
        for one in make(ASK, ROWS, "", Settings()):
            assert "HF_TOKEN" in one.code and "none" not in one.code, one.label


class TestModel:
    @pytest.mark.parametrize(
        ("model", "provider", "named"),
        [
            ("org/big", "groq", "org/big:groq"),
            ("org/big", "cheapest", "org/big:cheapest"),
            ("org/big", "auto", "org/big"),
            ("org/big", "", "org/big"),
            ("org/big:groq", "", "org/big:groq"),
            ("org/big:groq", "groq", "org/big:groq"),
            ("org/big:fastest", "groq", "org/big:groq"),
            ("org/big:free", "groq", "org/big:free:groq"),
            ("", "groq", "default:groq"),
        ],
    )
    def test_the_provider_stands_behind_it(self, model: str, provider: str, named: str):
        for one in make(ASK | {"model": model}, ROWS, provider, HERE):
            assert f'"{named}"' in one.code and "provider" not in one.code, one.label

    def test_the_other_languages_send_none_where_there_is_none(self):
        request = {"messages": ASK["messages"]}
        models = {one.client for one in make(request, ROWS, "", HERE) if "model" in one.code}
        assert models == {"openai"}, "Python's openai can't do without"


class TestPython:
    def test_ruff_has_nothing_to_say(self, tmp_path: Path):
        for case in (one for one in CASES if one.row.language == "python"):
            code = render(case.request, "python", case.row.client, "groq", Settings(HERE.base_url, bill_to="acme"))
            (tmp_path / f"{case.name}.py").write_text(code, encoding="utf-8")
        ruff(["format", "--check", "--diff"], tmp_path)
        ruff(["check"], tmp_path)

    def test_whatever_is_asked_ruff_formats_it_the_same(self, tmp_path: Path):
        wide = [char * times for char in ("a", "é", "漢", "\U0001f600", "\u2764\ufe0f") for times in range(15, 65)]
        asked = [ASK | {"messages": [{"role": "user", "content": text}]} for text in wide]
        for at, request in enumerate([*asked, *collect(REQUESTS, 80)]):
            for one in make(request, find("python"), "", HERE):
                (tmp_path / f"{at}-{one.client}.py").write_text(one.code, encoding="utf-8")
        ruff(["format", "--check", "--diff"], tmp_path)

    def test_the_clients_have_the_parameters_that_are_used(self):
        from huggingface_hub import InferenceClient
        from openai.resources.chat.completions import Completions

        assert set(signature(Completions.create).parameters) >= PARAMETERS["openai"]
        assert set(signature(InferenceClient.chat_completion).parameters) >= PARAMETERS["huggingface_hub"]

    def test_true_is_true_and_null_is_none(self):
        code = render(ASK | {"logprobs": True, "parallel_tool_calls": False, "stop": None}, "python", "openai")
        assert "logprobs=True" in code and "parallel_tool_calls=False" in code and "stop=None" in code


TEXTS = st.text(max_size=90) | st.text("ab '\"\\\né漢\u2764\ufe0f\U0001f600\u200d", max_size=90) | st.just(HOSTILE)
PLAIN = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-2, 2) | TEXTS
TREES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=9
)
FIELDS = st.sampled_from(["temperature", "top_k", "tools", "response_format", "stop", "n", "class", "stream_options"])
REQUESTS = st.builds(
    lambda content, fields, stream: ASK | {"messages": [{"role": "user", "content": content}]} | fields | stream,
    TREES,
    st.dictionaries(FIELDS | TEXTS, TREES, max_size=4),
    st.sampled_from([{}, {"stream": True}]),
)


def ruff(command: list[str], folder: Path) -> None:
    argv = [sys.executable, "-m", "ruff", command[0], "--isolated", "--no-cache", *command[1:], str(folder)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=40)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]


class TestLook:
    def test_javascripts_keys_have_no_quotes_where_they_need_none(self):
        code = render(ASK | {"chat_template_kwargs": {"a-b": 1, "ok": 2}}, "javascript", "openai")
        assert 'messages: [{ role: "user", content: "Hi" }]' in code and '{ "a-b": 1, ok: 2 }' in code

    def test_no_template_literal_holds_a_prompt(self):
        for row in find("javascript"):
            code = render(KINDS["text"], row.language, row.client, "", HERE)
            assert code.count("`") == HOSTILE.count("`"), row.label

    def test_a_token_that_is_needed_has_no_stand_in(self):
        for one in make(ASK, ROWS, "", Settings(HERE.base_url, "MY_KEY", fallback="")):
            assert "MY_KEY" in one.code and "none" not in one.code and "HF_TOKEN" not in one.code

    def test_half_a_request_is_written_as_far_as_it_goes(self):
        for request in ({}, {"messages": None}, {"messages": 5, "model": 7}, {"n": "x", "tools": {}, "stream": "yes"}):
            assert len(make(request, ROWS, "", HERE)) == len(ROWS)


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "param"),
        [
            ({"language": "cobol"}, "language"),
            ({"client": "httpx"}, "client"),
            ({"language": "shell", "client": "fetch"}, "client"),
            ({"provider": "a b"}, "provider"),
            ({"provider": 'x"'}, "provider"),
            ({"settings": Settings("ftp://x/v1")}, "settings.base_url"),
            ({"settings": Settings('http://x/v1"; rm')}, "settings.base_url"),
            ({"settings": Settings("http://x\n/v1")}, "settings.base_url"),
            ({"settings": Settings("http://")}, "settings.base_url"),
            ({"settings": Settings(token="hf-secret")}, "settings.token"),
            ({"settings": Settings(token="A$(x)")}, "settings.token"),
            ({"settings": Settings(token="hf_" + "aB3" * 11 + "x")}, "settings.token"),
            ({"settings": Settings(base_url="http://a.example/{b,c}/v1")}, "settings.base_url"),
            ({"settings": Settings(base_url="http://a.example/[1-9]/v1")}, "settings.base_url"),
            ({"settings": Settings(bill_to="a\nb")}, "settings.bill_to"),
            ({"settings": Settings(bill_to="é")}, "settings.bill_to"),
        ],
    )
    def test_what_can_not_be_said_is_refused_by_its_name(self, words: dict[str, Any], param: str):
        with pytest.raises(BadRequest, match=param) as refused:
            render(ASK, **words)
        assert refused.value.param == param

    def test_a_client_that_is_not_there_is_told_which_are(self):
        with pytest.raises(BadRequest, match="one of openai, huggingface_hub, requests for python, not 'fetch'"):
            render(ASK, "python", "fetch")

    def test_a_token_in_the_place_of_its_variable_is_not_repeated(self):
        with pytest.raises(BadRequest) as refused:
            render(ASK, settings=Settings(token="hf-secret"))
        assert "secret" not in refused.value.message

    def test_too_deep_a_request_is_refused(self):
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(BadRequest, match="too deeply") as refused:
            render(ASK | {"x": deep}, settings=HERE)
        assert refused.value.param == "request"
        while deep:  # its own end would be as deep
            deep = deep.pop()
