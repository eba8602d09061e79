"""`tertulia run` as its users have it: a command whose environment is all that is changed, and a real model."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from schemas import SPEC
from service import Service, default_model, environment, service
from sighted import BLIND, SEES, install
from tertulia import config
from tertulia.catalog.store import Store

__all__ = ["service"]
RUN = [sys.executable, "-m", "tertulia.cli", "run"]
BARE = [*RUN, "--model", "none", "--"]
"""With no model to load: what is said of commands holds with any."""
MODEL = "meta-llama/Llama-3.3-70B-Instruct"
CURL = "curl -sS -H Content-Type:application/json"
JS = Path(__file__).with_name("js")
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user without keys."""
    home = tmp_path_factory.mktemp("home")
    more = {"HF_HOME": str(home / "hf"), "XDG_DATA_HOME": str(home), "TERTULIA_ENGINE_KV": "256M"}
    return environment(home) | more


@pytest.fixture(scope="module")
def inside(outside: dict[str, str]) -> Generator[dict[str, str]]:
    """The environment that a command finds in `tertulia run`, while it runs with the default model."""
    code = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
    argv = [*RUN, "--model", default_model(), "--", sys.executable, "-c", code]
    env = outside | {"TERTULIA_ENGINE_CONTEXT": "256"}  # the page's snippets set no bound to their answers
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(argv, env=env, text=True, **pipes)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.communicate(timeout=10)[1]
        yield json.loads(line)
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
        assert all(line.endswith("of this machine answered") for line in errors.splitlines()), errors
    finally:
        process.kill()
        process.communicate()


def do(argv: list[str], env: dict[str, str], said: str = "", seconds: float = 40) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=env, input=said, capture_output=True, text=True, timeout=seconds)


def script(name: str, *arguments: str, env: dict[str, str]) -> Any:
    """What a script of tests/js prints."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (JS / "node_modules").is_dir():
        pytest.skip("the JavaScript clients are not installed: npm ci in tests/js does it, and so does `make test`")
    ended = do(["node", str(JS / name), *arguments], env)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


class TestCommands:
    """A command in it is as it would be without it."""

    def test_its_exit_status_is_ours(self, outside: dict[str, str]):
        assert do([*BARE, "sh", "-c", "exit 7"], outside).returncode == 7
        assert do([*BARE, "sh", "-c", "kill -9 $$"], outside).returncode == 128 + 9

    def test_what_it_reads_and_writes_is_its_own_alone(self, outside: dict[str, str]):
        ended = do([*BARE, "sh", "-c", 'cat; echo "$@" >&2', "-", "--model", "--", "x"], outside, "words")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "words", "--model -- x\n")

    def test_its_environment_is_ours_but_for_what_leads_here(self, outside: dict[str, str]):
        there = do([*BARE, "env", "-0"], outside | {"OWN": "mine", "HF_TOKEN": "hf_mine"}).stdout
        found = dict(line.split("=", 1) for line in there.split("\0") if line)
        new = {name for name in found if found[name] != (outside | {"OWN": "mine", "HF_TOKEN": "hf_mine"}).get(name)}
        assert new == {
            *("TERTULIA_RUN", "HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "NODE_OPTIONS"),
            *("OPENAI_BASE_URL", "OPENAI_API_KEY"),
            *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        }
        assert found["HF_TOKEN"] == "hf_mine"
        assert not Path(found["SSL_CERT_FILE"]).parent.exists(), "what was written for it is gone with it"

    def test_a_broken_pipe_ends_it_as_ever(self, outside: dict[str, str]):
        ended = do([*BARE, "sh", "-c", "yes | head -n 1"], outside)
        assert (ended.stdout, ended.stderr) == ("y\n", "")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
    def test_signals_are_the_commands(self, outside: dict[str, str], number: signal.Signals):
        name = number.name.removeprefix("SIG")
        code = f"trap 'echo got; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        argv = [*BARE, "sh", "-c", code]
        with subprocess.Popen(argv, env=outside, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.communicate(timeout=20) == ("got\n", None)
        assert process.returncode == 5

    def test_ctrl_c_in_a_terminal_reaches_the_command_once(self, outside: dict[str, str]):
        code = """
import signal, time
got = []
signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
print("ready", flush=True)
until = time.monotonic() + 1
while time.monotonic() < until:
    time.sleep(0.05)
print("times", len(got))
"""
        terminal = f"import pty, sys; sys.exit(pty.spawn({[*BARE, sys.executable, '-c', code]!r}) >> 8)"
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen([sys.executable, "-c", terminal], env=outside, **pipes) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\r\n"
            out, _ = process.communicate(b"\x03", timeout=20)
        assert out.endswith(b"times 1\r\n")
        assert process.returncode == 0

    def test_nothing_is_left_when_it_is_over(self, outside: dict[str, str]):
        ended = do([*BARE, "sh", "-c", "echo $HF_ENDPOINT $HTTPS_PROXY"], outside)
        for address in ended.stdout.split():
            port = address.rpartition(":")[2]
            assert do(["sh", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], outside).returncode != 0


class TestAsking:
    def test_its_help_teaches(self, outside: dict[str, str]):
        told = do([*RUN, "--help"], outside).stdout
        assert "Example:\n  tertulia run -- python snippet.py" in told
        assert max(map(len, told.splitlines())) <= 100

    def test_it_is_not_for_use_inside_itself(self, outside: dict[str, str]):
        ended = do([*BARE, *BARE, "true"], outside)
        assert ended.returncode == 1
        assert re.search(r"inside `tertulia run` already, whose server is http://127\.0\.0\.1:\d+", ended.stderr)

    def test_a_command_that_is_not_there_is_told_before_a_model_is_loaded(self, outside: dict[str, str]):
        begun = time.monotonic()
        ended = do([*RUN, "--", "no-such-command"], outside)
        assert (ended.returncode, ended.stderr) == (127, "tertulia: no-such-command: there is no such command\n")
        assert time.monotonic() - begun < 5

    def test_no_command_is_told_how_there_would_be_one(self, outside: dict[str, str]):
        for argv in (RUN, [*RUN, "--"]):
            ended = do(argv, outside)
            assert ended.returncode == 1
            assert "tertulia run -- python snippet.py" in ended.stderr

    def test_a_model_that_can_t_be_loaded_is_told_with_the_end_of_the_log(
        self, outside: dict[str, str], tmp_path: Path
    ):
        model = default_model()
        installed = Store(config.load().store.path).find(model)
        assert installed
        broken = tmp_path / installed.folder.name
        broken.mkdir()
        for file in installed.folder.iterdir():
            with file.open("rb") as whole:
                (broken / file.name).write_bytes(whole.read(1000))
        ended = do([*RUN, "--model", model, "--", "echo", "done"], outside | {"TERTULIA_STORE_PATH": str(tmp_path)})
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "is not a whole GGUF file" in ended.stderr.splitlines()[-1]
        assert "ERROR tertulia.child: " in ended.stderr

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    def test_without_a_stand_in_nobody_answers_for_a_model_without_a_provider(self, outside: dict[str, str]):
        code = f'{CURL} https://router.huggingface.co/v1/chat/completions -d "$0"'
        ended = do([*RUN, "--no-stand-in", "--model", "none", "--", "sh", "-c", code, json.dumps(ASK)], outside)
        assert json.loads(ended.stdout)["error"]["code"] == "model_not_found"

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    def test_the_log_is_where_it_is_wanted(self, outside: dict[str, str], tmp_path: Path):
        code = f"{CURL} https://huggingface.co/api/models >/dev/null"
        ended = do([*RUN, "--log", str(tmp_path / "log"), "--model", "none", "--", "sh", "-c", code], outside)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "GET '/api/models' 200" in (tmp_path / "log").read_text()


class TestPage:
    """Programs as they stand on the page, without a network and without keys."""

    @pytest.mark.skipif(not SPEC.is_dir(), reason="the page's snippets are not at hand: ../shared/spec")
    def test_the_snippet_for_text_prints_an_answer(self, inside: dict[str, str]):
        ended = do([sys.executable, str(SPEC / "snippet_llm.py")], inside)
        assert ended.returncode == 0, ended.stderr
        assert re.match(r"ChatCompletionOutputMessage\(role='assistant', content=.{8}", ended.stdout)

    @pytest.mark.skipif(not SPEC.is_dir(), reason="the page's snippets are not at hand: ../shared/spec")
    def test_the_snippet_for_images_prints_what_is_missing(self, outside: dict[str, str], tmp_path: Path):
        store = install(tmp_path / "store")
        shutil.rmtree(store / SEES.replace("/", "--"))
        argv = [*RUN, "--model", BLIND, "--", sys.executable, str(SPEC / "snippet_vlm.py")]
        ended = do(argv, outside | {"TERTULIA_STORE_PATH": str(store)})
        assert ended.returncode != 0
        assert "BadRequestError" in ended.stderr
        assert re.search(r"can't honour image.*messages\[0\]\.content\[1\]", ended.stderr, re.DOTALL)

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    def test_curl_is_told_who_really_answered(self, inside: dict[str, str]):
        for url in ("https://router.huggingface.co/v1", "https://router.huggingface.co/featherless-ai/v1"):
            ended = do([*CURL.split(), "-i", f"{url}/chat/completions", "-d", json.dumps(ASK)], inside)
            head, _, body = ended.stdout.split("established")[-1].strip().partition("\n\n")
            assert "x-inference-provider: local" in head.splitlines(), ended.stdout
            assert json.loads(body)["model"] == default_model()
            assert "Paris" in json.loads(body)["choices"][0]["message"]["content"]

    def test_the_standard_library_is_answered(self, inside: dict[str, str]):
        code = f"""
import json, os, urllib.request
asked = urllib.request.Request("https://router.huggingface.co/v1/chat/completions", json.dumps({ASK!r}).encode())
asked.add_header("Authorization", "Bearer " + os.environ["HF_TOKEN"])
asked.add_header("Content-Type", "application/json")
print(json.load(urllib.request.urlopen(asked, timeout=30))["choices"][0]["message"]["content"])
"""
        assert "Paris" in do([sys.executable, "-c", code], inside).stdout

    def test_openai_finds_it_by_the_environment_alone(self, inside: dict[str, str]):
        code = f"import openai; print(openai.OpenAI().chat.completions.create(**{ASK!r}).model)"
        assert do([sys.executable, "-c", code], inside).stdout.strip() == default_model()

    def test_huggingfaces_javascript_is_answered(self, inside: dict[str, str]):
        said = script("inference.mjs", env=inside)
        assert said == {"model": default_model(), "whole": said["streamed"], "streamed": said["whole"]}
        assert "Paris" in said["whole"]

    def test_openais_javascript_is_answered(self, inside: dict[str, str]):
        said = script("sdk.mjs", "https://router.huggingface.co/v1", env=inside)
        assert said["model"] == default_model()
        assert "Paris" in said["whole"]


class TestJavaScript:
    """The JavaScript clients against `tertulia serve`."""

    def test_huggingfaces_client_whole_and_streamed(self, service: Service, outside: dict[str, str]):
        said = script("inference.mjs", f"{service.address}/v1", env=outside)
        assert said == {
            "model": default_model(),
            "whole": "The capital of France is Paris.",
            "streamed": "The capital of France is Paris.",
        }

    def test_openais_client_folds_streams_to_the_whole_answer(self, service: Service, outside: dict[str, str]):
        said = script("sdk.mjs", f"{service.address}/v1", env=outside)
        assert said["whole"] == said["pieces"] == said["folded"]["content"] == "The capital of France is Paris."
        assert said["folded"]["role"] == "assistant"
        assert said["usage"]["total_tokens"] == said["usage"]["prompt_tokens"] + said["usage"]["completion_tokens"]
        (call,) = said["call"]["tool_calls"]
        assert (said["finish"], call["type"], call["function"]["name"]) == ("tool_calls", "function", "weather")
        assert json.loads(call["function"]["arguments"])["city"] in ("Paris", "Lyon")
        assert said["refused"] == {"name": "BadRequestError", "status": 400, "param": "temperature"}
