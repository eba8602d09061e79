"""What a LiteLLM configuration says, said in ours: it loads, it says the same, and nothing is lost without a word."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia import config
from tertulia.config import Config
from tertulia.errors import ConfigError
from tertulia.providers import homes, litellm, table
from tertulia.providers.litellm import Imported

TEAM = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 480
      tpm: 90000
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://europe.openai.azure.com/
      api_key: os.environ/AZURE_EU_KEY
      api_version: "2024-06-01"
  - model_name: gpt-4o-mini
    litellm_params:
      model: gpt-4o-mini
      api_key: os.environ/OPENAI_API_KEY
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_key: os.environ/ANTHROPIC_API_KEY
      max_tokens: 4096
  - model_name: claude
    litellm_params:
      model: bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0
      aws_secret_access_key: AKIASECRET
      aws_region_name: us-east-1
  - model_name: embeddings
    litellm_params:
      model: openai/text-embedding-3-small
    model_info:
      mode: embedding
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 2
  allowed_fails: 2
  cooldown_time: 30
  timeout: 120
  redis_password: REDISSECRET
  model_group_alias: {"gpt-4": "gpt-4o", "best": {"model": "claude", "hidden": true}}
litellm_settings:
  drop_params: true
  set_verbose: false
  success_callback: ["langfuse"]
  cache: true
  fallbacks: [{"claude": ["gpt-4o", "gpt-4o-mini"]}]
general_settings:
  master_key: sk-MASTERSECRET
  database_url: "postgresql://u:DBSECRET@db/litellm"
environment_variables:
  LANGFUSE_SECRET_KEY: LANGFUSESECRET
"""

OPEN = """
model_list:
  - model_name: llama-70b
    litellm_params:
      model: together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo
      order: 2
  - model_name: llama-70b
    litellm_params:
      model: groq/llama-3.3-70b-versatile
      order: 1
  - model_name: llama-70b
    litellm_params:
      model: fireworks_ai/accounts/fireworks/models/llama-v3p3-70b-instruct
      order: 3
  - model_name: r1
    litellm_params:
      model: huggingface/together/deepseek-ai/DeepSeek-R1
      api_key: os.environ/HF_TOKEN
  - model_name: deepseek
    litellm_params: {model: deepseek/deepseek-chat, input_cost_per_token: 2.7e-07, output_cost_per_token: 1.1e-06}
  - model_name: sonar
    litellm_params: {model: perplexity/sonar}
  - model_name: mistral-large
    litellm_params: {model: mistral/mistral-large-latest}
  - model_name: gemini
    litellm_params: {model: gemini/gemini-2.5-flash}
  - model_name: "openrouter/*"
    litellm_params: {model: "openrouter/*"}
  - model_name: friend
    litellm_params: {model: friendliai/llama}
"""

HOME = """
model_list:
  - model_name: qwen
    litellm_params:
      model: hosted_vllm/Qwen/Qwen2.5-7B-Instruct
      api_base: http://10.1.2.3:8000
    model_info: {max_input_tokens: 32768, supports_function_calling: true}
  - model_name: qwen
    litellm_params:
      model: hosted_vllm/Qwen/Qwen2.5-7B-Instruct
      api_base: http://10.1.2.4:8000/v1
  - model_name: phi
    litellm_params:
      model: ollama_chat/phi3
      api_base: http://localhost:11434
  - model_name: mine
    litellm_params:
      model: openai/my-model
      api_base: http://gpu.internal:9000
      api_key: "none"
      extra_headers: {X-Team: blue, Authorization: Bearer HEADERSECRET}
  - model_name: keyed
    litellm_params:
      model: openai/my-model
      api_base: https://llm.example.com/v1
      api_key: sk-WRITTENSECRET
  - model_name: groq-by-address
    litellm_params:
      model: openai/llama-3.1-8b-instant
      api_base: https://api.groq.com/openai/v1
      api_key: os.environ/GROQ_API_KEY
  - model_name: proxied
    litellm_params: {model: together_ai/some/model, api_base: "https://proxy.example.com/together/v1"}
  - model_name: endpoint
    litellm_params:
      model: huggingface/meta-llama/Llama-3.1-8B-Instruct
      api_base: https://x1.us-east-1.aws.endpoints.huggingface.cloud
  - model_name: by-variable
    litellm_params: {model: openai/m, api_base: os.environ/MY_BASE}
  - model_name: by-unset-variable
    litellm_params: {model: openai/m, api_base: os.environ/NO_BASE}
"""

KEYS = """
model_list:
  - {model_name: a, litellm_params: {model: together_ai/x/y, api_key: os.environ/TEAM_A}}
  - {model_name: a, litellm_params: {model: together_ai/x/y, api_key: os.environ/TEAM_B}}
  - {model_name: a, litellm_params: {model: together_ai/x/z, api_key: os.environ/TEAM_A}}
"""


def take(text: str, tmp_path: Path) -> tuple[Config, Imported]:
    """The configuration as it loads, and what the import said."""
    imported = litellm.read(text, lambda name: {"MY_BASE": "http://127.0.0.1:7000/v1"}.get(name, ""))
    file = tmp_path / "config.toml"
    file.write_text(imported.toml)
    loaded = config.load(file, environ={})
    table.rows(loaded.providers)
    return loaded, imported


@pytest.mark.parametrize("text", [TEAM, OPEN, HOME, KEYS])
def test_what_is_written_loads_and_holds_no_secret(text: str, tmp_path: Path) -> None:
    loaded, imported = take(text, tmp_path)
    assert loaded.providers
    assert "SECRET" not in imported.toml.replace("SCW_SECRET_KEY", "") and "SECRET" not in "".join(imported.left)


def test_a_team_with_two_clouds(tmp_path: Path) -> None:
    loaded, imported = take(TEAM, tmp_path)
    rows = table.rows(loaded.providers)
    assert rows["openai"].models == {"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-4o-mini", "gpt-4": "gpt-4o"}
    assert rows["openai"].base_url == "https://api.openai.com" and not loaded.providers["openai"].key_env
    azure, claude = rows["azure"], rows["anthropic"]
    assert azure.base_url + azure.route == "https://europe.openai.azure.com/openai/v1/chat/completions"
    assert loaded.providers["azure"].key_env == "AZURE_EU_KEY" and azure.models["gpt-4"] == "gpt-4o-eu"
    assert claude.base_url + claude.route == "https://api.anthropic.com/v1/chat/completions"
    assert claude.models == {"claude": "claude-sonnet-4-5", "best": "claude-sonnet-4-5"}
    assert loaded.providers["anthropic"].key_env == "ANTHROPIC_API_KEY"
    router = loaded.router
    assert (router.policy, router.attempts, router.breaker_failures) == ("fastest", 3, 3)
    assert (router.breaker_pause, router.whole_timeout) == (30, 120)
    for told in (
        "rpm of gpt-4o, tpm of gpt-4o: how many calls",
        "api_version of gpt-4o",
        "max_tokens of claude: it is said by requests",
        "claude: Bedrock's API is not spoken here",
        "embeddings: it is no model for chats (embedding)",
        "router_settings: redis_password: there is nothing like it",
        "litellm_settings: drop_params: no field is dropped",
        'fallbacks: a request names the models itself: "models": ["claude", "gpt-4o", "gpt-4o-mini"]',
        "litellm_settings: success_callback, cache: there is nothing like it here",
        "general_settings: master_key: callers' tokens are made with `tertulia token new`",
        "general_settings: database_url",
        "environment_variables: set them where the server is started",
    ):
        assert any(told in line for line in imported.left), told
    assert "set_verbose" not in "".join(imported.left), "what is off is not missed"


def test_open_models_of_many_providers(tmp_path: Path) -> None:
    loaded, imported = take(OPEN, tmp_path)
    rows = table.rows(loaded.providers)
    assert rows["together"].models == {"llama-70b": "meta-llama/Llama-3.3-70B-Instruct-Turbo"}
    assert rows["together"].response_format == "flat"
    assert rows["fireworks-ai"].models == {"llama-70b": "accounts/fireworks/models/llama-v3p3-70b-instruct"}
    assert rows["huggingface"].models == {"r1": "deepseek-ai/DeepSeek-R1:together"}
    assert (loaded.router.policy, loaded.router.order) == ("preferred", ["groq", "together", "fireworks-ai"])
    addresses = {name: rows[name].base_url + rows[name].route for name in ("deepseek", "perplexity", "gemini")}
    assert addresses == {
        "deepseek": "https://api.deepseek.com/v1/chat/completions",
        "perplexity": "https://api.perplexity.ai/chat/completions",
        "gemini": "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    }
    assert rows["deepseek"].price == (0.27, 1.1)
    assert loaded.providers["mistral"].key_env == "MISTRAL_API_KEY"
    assert rows["openrouter"].custom and not rows["openrouter"].models
    assert "openrouter/*: openrouter is asked for a model that it isn't said to have as ID:openrouter" in imported.left
    assert "friend: the address of friendliai is not known: write its api_base" in imported.left


def test_servers_of_ones_own(tmp_path: Path) -> None:
    loaded, imported = take(HOME, tmp_path)
    rows = table.rows(loaded.providers)
    own = {name: rows[name].base_url + rows[name].route for name in loaded.providers}
    assert own == {
        "vllm": "http://10.1.2.3:8000/v1/chat/completions",
        "vllm-2": "http://10.1.2.4:8000/v1/chat/completions",
        "ollama": "http://localhost:11434/v1/chat/completions",
        "gpu": "http://gpu.internal:9000/chat/completions",
        "example": "https://llm.example.com/v1/chat/completions",
        "groq": "https://api.groq.com/openai/v1/chat/completions",
        "together": "https://proxy.example.com/together/v1/chat/completions",
        "x1": "https://x1.us-east-1.aws.endpoints.huggingface.cloud/v1/chat/completions",
        "server": "http://127.0.0.1:7000/v1/chat/completions",
    }
    assert rows["vllm"].context == 32768
    assert rows["vllm"].models == rows["vllm-2"].models == {"qwen": "Qwen/Qwen2.5-7B-Instruct"}
    assert rows["x1"].models == {"endpoint": "meta-llama/Llama-3.1-8B-Instruct"}
    assert rows["gpu"].headers == {"X-Team": "blue"} and not loaded.providers["gpu"].key_env
    assert loaded.providers["example"].key_env == "EXAMPLE_API_KEY"
    for told in (
        "keyed: its key is written in the file and not carried over: put it into EXAMPLE_API_KEY",
        "Authorization of mine: it may be a secret",
        "by-unset-variable: its api_base stands in NO_BASE, which is not set: set it and import again",
        "supports_... of qwen: it is not believed but probed",
    ):
        assert any(told in line for line in imported.left), told


def test_keys_of_one_provider_are_rows_of_their_own(tmp_path: Path) -> None:
    loaded, _ = take(KEYS, tmp_path)
    rows = table.rows(loaded.providers)
    said = {name: (loaded.providers[name].key_env, *rows[name].models.values()) for name in loaded.providers}
    assert said == {"together": ("TEAM_A", "x/y"), "together-2": ("TEAM_B", "x/y"), "together-3": ("TEAM_A", "x/z")}
    assert {rows[name].response_format for name in said} == {"flat"}
    assert {rows[name].base_url + rows[name].route for name in said} == {"https://api.together.xyz/v1/chat/completions"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model_list: [", "that is not YAML"),
        ("just words", "there is no model_list"),
        ("model_list: []", "there is no model_list"),
        ("model_list: {a: b}", "there is no model_list"),
        ("!!python/object/apply:os.system ['true']", "that is not YAML"),
    ],
)
def test_what_is_no_such_file_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        litellm.read(text, lambda name: "")


def test_entries_that_are_none_are_told_by_their_place() -> None:
    imported = litellm.read("model_list: [7, {model_name: a}, {model_name: b, litellm_params: {model: x}}]", str)
    assert imported.left == [
        "entry 1 of model_list, entry 2 of model_list: it has no model_name, or no model in its litellm_params",
        "b: whose x is, is not known: write the provider before it, as in openai/...",
    ]


@given(st.text(), st.text(min_size=1), st.text())
def test_any_name_is_written_as_it_is(name: str, model: str, host: str) -> None:
    text = f"model_list: [{{model_name: {_yaml(name)}, litellm_params: {{model: {_yaml('openai/' + model)}}}}}]"
    base = f"model_list: [{{model_name: a, litellm_params: {{model: openai/b, api_base: {_yaml('http://' + host)}}}}}]"
    models = tomllib.loads(litellm.read(text, str).toml).get("providers", {}).get("openai", {}).get("models", {})
    assert not name or "*" in name or models == {name: model}
    tomllib.loads(litellm.read(base, str).toml)


def _yaml(word: str) -> str:
    return '"' + "".join(f"\\U{ord(sign):08x}" for sign in word) + '"'


def test_every_known_provider_of_litellm_has_a_home() -> None:
    assert set(homes.SHIPPED.values()) <= table.shipped().keys()
    assert all(homes.house(name) for name in (*homes.SHIPPED, *homes.HOMES))
    assert not homes.UNSPOKEN.keys() & {*homes.SHIPPED, *homes.HOMES, *homes.SERVERS}
