"""Every fenced block of the documents does what it says."""

import json
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from service import Service, default_model, environment, serving
from tertulia import __version__, cli, config, types

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(page, *block) for page in PAGES for block in FENCE.findall((ROOT / page).read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """A server that was told nothing, as `make serve` starts it."""
    default_model()
    with serving(tmp_path_factory.mktemp("home"), model=None) as running:
        running.wait()
        yield running


def blocks(language: str) -> pytest.MarkDecorator:
    found = [(page, text) for page, tongue, text in BLOCKS if tongue == language]
    return pytest.mark.parametrize(("page", "text"), found, ids=[f"{page}-{i}" for i, (page, _) in enumerate(found)])


def test_every_block_is_of_a_language_that_is_tested_here():
    assert {language for _, language, _ in BLOCKS} == {"sh", "python", "toml", "console"}


@blocks("sh")
def test_a_shell_block_gets_an_answer(page: str, text: str, service: Service):
    script = text.replace("http://127.0.0.1:8080", service.address)
    ended = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert "error" not in answer
    if "choices" in answer:
        assert answer["choices"][0]["message"]["content"] in ("The capital of France is Paris.", "yes", "no")


@blocks("python")
def test_a_python_block_runs(page: str, text: str, service: Service, tmp_path: Path):
    if page == "ARCHITECTURE.md":
        exec(compile(text, page, "exec"), vars(types) | vars(typing))
        return
    script = text.replace("http://127.0.0.1:8080", service.address)
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stdout.strip(), ended.stderr


@blocks("toml")
def test_a_toml_block_is_a_configuration(page: str, text: str, tmp_path: Path):
    (tmp_path / "config.toml").write_text(text)
    loaded = config.load(tmp_path / "config.toml", environ={})
    assert loaded.server.port == 8080 and loaded.engine.kv == 1 << 30


TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@blocks("console")
def test_a_console_line_names_what_there_is(page: str, text: str):
    for line in text.splitlines():
        words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        check: dict[str, Callable[[list[str]], object]] = {
            "make": lambda rest: [TARGETS.index(word) for word in rest],
            ".venv/bin/tertulia": lambda rest: cli.parser().parse_args(rest),
            "python": lambda rest: (ROOT / rest[0]).stat(),
        }
        check[words[0]](words[1:])


def test_the_changelog_knows_the_version():
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_documents_lead_somewhere(page: str):
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link


def test_the_map_names_every_module():
    told = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "tertulia"
    rooms = {path.name for path in source.iterdir() if path.suffix == ".py" or path.is_dir()} - {"__pycache__"}
    modules = rooms | {path.name for room in ("engine", "router", "server") for path in (source / room).glob("*.py")}
    missing = [name for name in modules if not name.startswith("__") and name not in told]
    assert not missing
