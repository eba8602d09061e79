"""``tertulia providers``: who can be asked, who answers, and what LiteLLM's configuration says in our words."""

import io
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from listing import Site, site
from tertulia import cli, config
from tertulia.commands import providers
from tertulia.providers import table

LITELLM = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 5}
  - model_name: mine
    litellm_params: {model: hosted_vllm/m, api_base: os.environ/VLLM_BASE}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for row in table.shipped().values():
        for key in row.keys:
            monkeypatch.delenv(key, raising=False)
    return tmp_path


@pytest.fixture
def there() -> Iterator[Site]:
    with site() as served:
        yield served


def ask(home: Path, text: str, *flags: str) -> int:
    (home / "c.toml").write_text(text, encoding="utf-8")
    return cli.main(["providers", "--config", str(home / "c.toml"), *flags])


def line(told: str, name: str) -> str:
    """The line of one provider, with single spaces."""
    return next(" ".join(one.split()) for one in told.splitlines() if one.startswith(f"{name} "))


def test_without_any_key_it_says_which_variables_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["providers"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("There is no key for any provider yet.\n\nWithout a key: baseten (BASETEN_API_KEY), ")
    for name, row in table.shipped().items():
        assert f"{name} ({row.keys[0]})" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 96


def test_it_says_where_a_key_comes_from_and_never_the_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCALEWAY_API_KEY", "k-secret-1")
    monkeypatch.setenv("MY_NOVITA", "k-secret-2")
    file, loose = home / "groq.key", home / "loose.key"
    file.write_text("k-secret-3\n")
    file.chmod(0o600)
    loose.write_text("k-secret-4\n")
    loose.chmod(0o644)
    text = f"""
[providers.novita]
key_env = "MY_NOVITA"
[providers.groq]
key_file = "{file}"
[providers.nscale]
key_file = "{loose}"
[providers.openai]
key = "k-secret-5"
[providers.cohere]
enabled = false
[providers.desk]
base_url = "http://127.0.0.1:9/v1"
models = ["a/b", "c/d"]
[providers.own]
command = "run-it --port {{port}}"
"""
    assert ask(home, text) == 0
    told = capsys.readouterr().out
    assert line(told, "scaleway") == "scaleway SCALEWAY_API_KEY 1 https://api.scaleway.ai/v1"
    assert "\n    can't do frequency_penalty, logit_bias, n\n" in told
    assert line(told, "novita").startswith("novita MY_NOVITA ")
    assert line(told, "groq") == f"groq file {file} 0 https://api.groq.com/openai/v1"
    assert line(told, "openai").startswith("openai in the configuration ")
    assert line(told, "desk") == "desk none 2 http://127.0.0.1:9/v1"
    assert line(told, "own") == "own none 0 run-it --port {port}"
    assert f"can't be asked: key_file in [providers.nscale]: others can read {loose}" in told
    assert "cohere" not in told and "secret" not in told
    others = " ".join(told.partition("Without a key: ")[2].split())
    assert "together (TOGETHER_API_KEY)" in others and "groq" not in others


def test_a_callers_own_token_counts_where_it_is_passed_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(home, "[router]\nforward_hf_token = true\n") == 0
    assert line(capsys.readouterr().out, "huggingface").startswith("huggingface the caller's own ")


def test_each_is_asked_whether_it_answers(home: Path, there: Site, capsys: pytest.CaptureFixture[str]) -> None:
    there.answers["/good/v1/models"] = 200, {"data": [{"id": "o/mine"}, {"id": "o/other"}]}, {}
    there.answers["/odd/v1/models"] = 200, b"<html>", {}
    there.answers["/strict/v1/models"] = 401, {}, {}
    there.answers["/broken/v1/models"] = 500, {}, {}
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        text = "".join(
            f'[providers.{name}]\nbase_url = "{there.url}/{name}/v1"\n' for name in ("good", "odd", "strict", "broken")
        )
        text += f'[providers.gone]\nbase_url = "http://127.0.0.1:{nobody.getsockname()[1]}/v1"\n'
        text += f'[providers.keyed]\nbase_url = "{there.url}/strict/v1"\nkey = "k-1"\n'
        text += f'[providers.here]\ncommand = "{sys.executable} {{port}}"\n'
        text += '[providers.away]\ncommand = "no-such-thing {port}"\n'
        assert ask(home, text, "--check") == 0
    told = capsys.readouterr().out
    for name, says in {
        "good": " ms, 2 models http",
        "odd": " ms, with no list of models http",
        "strict": "it wants a key (401)",
        "keyed": "it refuses the key (401)",
        "broken": "no: it answers 500",
        "gone": "no: can't be reached: Connection refused",
        "here": "when it is started",
        "away": "no: there is no program no-such-thing here",
    }.items():
        assert says in line(told, name), name
    assert ("/strict/v1/models", "Bearer k-1") in there.asked
    assert ("/good/v1/models", "") in there.asked


def test_one_that_says_nothing_is_not_waited_for_and_holds_nobody_up(
    home: Path, there: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(providers, "_PATIENCE", 0.5)
    there.answers["/v1/models"] = 200, {"data": [{"id": "o/mine"}]}, {}
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        text = f'[providers.good]\nbase_url = "{there.url}/v1"\n'
        for number in range(4):
            text += f'[providers.deaf{number}]\nbase_url = "http://127.0.0.1:{deaf.getsockname()[1]}/v1"\n'
        began = time.monotonic()
        assert ask(home, text, "--check") == 0
        assert time.monotonic() - began < 1.5
    told = capsys.readouterr().out
    assert ", 1 model http" in line(told, "good")
    assert all("not within 0.5 s" in line(told, f"deaf{number}") for number in range(4))


def test_a_configuration_of_litellm_becomes_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, ours = home / "config.yaml", home / "ours.toml"
    file.write_text(LITELLM)
    monkeypatch.setenv("VLLM_BASE", "http://10.0.0.1:8000")
    assert cli.main(["providers", "import", str(file)]) == 0
    told = capsys.readouterr()
    ours.write_text(told.out)
    assert config.load(ours, environ={}).providers["vllm"].base_url == "http://10.0.0.1:8000/v1"
    assert told.err.startswith("Not carried over:\n  rpm of gpt-4o: ")
    assert cli.main(["providers", "--config", str(ours)]) == 0
    assert "vllm" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(LITELLM))
    assert cli.main(["providers", "import", "-"]) == 0
    assert capsys.readouterr().out == told.out


@pytest.mark.parametrize(
    ("content", "why"), [(None, "can't be read: No such file"), ("a: 1", "there is no model_list")]
)
def test_what_can_not_be_imported_is_one_line(
    home: Path, content: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "config.yaml"
    if content is not None:
        file.write_text(content)
    assert cli.main(["providers", "import", str(file)]) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"tertulia: {file}") and why in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("words", [["providers"], ["providers", "import"]])
def test_its_help_teaches(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([*words, "--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0 and f"Example:\n  tertulia {' '.join(words)}" in told
    assert max(map(len, told.splitlines())) <= 100
