"""The table of providers: what is shipped agrees with what Hugging Face's own client knows of them."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference import _providers
from huggingface_hub.inference._providers.hf_inference import HFInferenceConversational

from tertulia.catalog import catalog
from tertulia.config import Provider, key_of
from tertulia.errors import ConfigError
from tertulia.providers import table

CONVERSATIONAL: dict[str, Any] = {
    name: tasks["conversational"] for name, tasks in _providers.PROVIDERS.items() if "conversational" in tasks
}
ASKED = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
WRITTEN = {
    "openai": ASKED,
    "flat": {"type": "json_schema", "schema": {"type": "object"}},
    "json_object": {"type": "json_object", "schema": {"type": "object"}},
    "value": {"type": "json_object", "value": {"type": "object"}},
}


def test_every_conversational_provider_is_there_and_the_router_itself():
    assert set(table.shipped()) == {*CONVERSATIONAL, "huggingface"}
    assert len(CONVERSATIONAL) == 16


@pytest.mark.parametrize("name", sorted(CONVERSATIONAL))
def test_its_address_is_the_one_that_huggingface_hub_uses(name: str):
    row, helper = table.shipped()[name], CONVERSATIONAL[name]
    theirs = helper._prepare_url("hf_x" if isinstance(helper, HFInferenceConversational) else "key", "MODEL")
    assert row.base_url + row.route.replace("{model}", "MODEL") == theirs


@pytest.mark.parametrize("name", sorted(CONVERSATIONAL))
def test_its_headers_are_the_ones_that_huggingface_hub_sends(name: str):
    sent, plain = CONVERSATIONAL[name]._prepare_headers({}, "key"), CONVERSATIONAL["groq"]._prepare_headers({}, "key")
    assert table.shipped()[name].headers == {key: value for key, value in sent.items() if key not in plain}


@pytest.mark.parametrize("name", sorted(CONVERSATIONAL))
def test_it_wants_forms_as_huggingface_hub_says_them(name: str):
    helper = CONVERSATIONAL[name]
    info = InferenceProviderMapping(
        provider=name, hf_model_id="m", providerId="m", status="live", task="conversational"
    )
    payload = helper._prepare_payload_as_dict([], {"response_format": ASKED}, provider_mapping_info=info)
    assert payload["response_format"] == WRITTEN[table.shipped()[name].response_format]


def test_a_list_of_models_stands_beside_the_chat():
    assert table.shipped()["cohere"].list_route == "/compatibility/v1/models"
    assert table.shipped()["huggingface"].list_route == "/v1/models"


def test_each_has_a_key_and_its_models_are_at_known_providers():
    rows = table.shipped()
    assert all(row.keys and all(key.isupper() for key in row.keys) for row in rows.values())
    assert {name for row in catalog.rows() for name in row.providers} <= set(rows)


def test_what_is_refused_is_known_by_the_names_of_requests():
    words = {word for row in table.shipped().values() for word in row.refuses}
    assert words == {"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n"}


def test_the_user_may_say_something_anew_or_switch_one_off():
    own = {"groq": Provider(base_url="http://127.0.0.1:1/v1", refuses=["tools"]), "together": Provider(enabled=False)}
    rows = table.rows(own)
    assert rows["groq"].base_url + rows["groq"].route == "http://127.0.0.1:1/v1/chat/completions"
    assert rows["groq"].refuses == ("logit_bias", "logprobs", "n", "tools")
    assert "together" not in rows


@pytest.mark.parametrize("said", ["http://h:1", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/chat/completions"])
def test_a_users_address_may_be_written_as_clients_write_it(said: str):
    row = table.rows({"mine": Provider(base_url=said)})["mine"]
    assert row.base_url + row.route == "http://h:1/v1/chat/completions"
    assert row.base_url + row.list_route == "http://h:1/v1/models"
    assert row.custom


def test_a_users_provider_needs_an_address():
    with pytest.raises(ConfigError, match="base_url is needed"):
        table.rows({"mine": Provider()})


@pytest.mark.parametrize(
    "said",
    [
        "http://bob:hush@host/v1",
        "http://hush@host/v1",
        "https://host/v1?key=hush",
        "https://host/v1#hush",
        "http://bob:hush@host:99999999/v1",
        "http://bob:hush@[host/v1",
        "ftp:/bob:hush@host/v1",
        "bob:hush@host",
    ],
)
def test_an_address_that_holds_a_secret_is_refused_and_the_secret_not_told(said: str):
    with pytest.raises(ConfigError, match=r"\[providers.mine\]: base_url") as caught:
        table.rows({"mine": Provider(base_url=said)})
    assert "hush" not in str(caught.value)


def test_who_writes_a_password_into_an_address_learns_where_it_belongs():
    with pytest.raises(ConfigError, match="key, key_file, key_env or headers"):
        table.rows({"mine": Provider(base_url="http://bob:hush@host/v1")})
    assert table.rows({"mine": Provider(base_url="http://host/@scope/v1")})["mine"].base_url == "http://host/@scope/v1"


@pytest.mark.parametrize("bad", ["hush\nX: 1", "hush\r", "hu\0sh", "hush\x7f", "hush\u2028"])
def test_a_header_that_cant_be_sent_is_refused_by_its_name(bad: str):
    with pytest.raises(ConfigError, match=r"\[providers.groq\]: X-Own in headers") as caught:
        table.rows({"groq": Provider(headers={"X-Own": bad})})
    assert "hu" not in str(caught.value)
    with pytest.raises(ConfigError, match="no header's name"):
        table.rows({"groq": Provider(headers={"X Own": "1"})})


@pytest.mark.parametrize("bad", ["hush\nhush", "hu\x1bsh", "hush\u200bhush"])
def test_a_key_that_cant_be_sent_is_refused_by_its_place(bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "key"
    file.write_text(bad, encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.setenv("MINE_API_KEY", bad)
    for said, place in (
        (Provider(key=bad), r"^key in \[providers.mine\] holds"),
        (Provider(key_file=file), rf"^key_file in \[providers.mine\]: {file} (must|holds)"),
        (Provider(key_env="MINE_API_KEY"), "^MINE_API_KEY holds"),
        (None, "^MINE_API_KEY holds"),
    ):
        with pytest.raises(ConfigError, match=place) as caught:
            key_of("mine", said, ["MINE_API_KEY"])
        assert "hu" not in str(caught.value).replace(str(file), "")


def test_space_around_a_key_in_the_environment_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINE_API_KEY", " sk-1\n")
    assert key_of("mine", None, ["", "NOT_SET_API_KEY", "MINE_API_KEY"]) == "sk-1"


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("http://vllm:8000", "http://vllm:8000/v1/chat/completions"),
        ("http://vllm:8000/v1", "http://vllm:8000/v1/chat/completions"),
        ("https://host/api/v3/", "https://host/api/v3/chat/completions"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1/chat/completions"),
    ],
)
def test_a_base_url_is_taken_as_people_write_it(base: str, address: str):
    row = table.rows({"mine": Provider(base_url=base)})["mine"]
    assert row.base_url + row.route == address
