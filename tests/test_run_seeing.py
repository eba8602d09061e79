"""The page's snippet for images as it stands, under `tertulia run`, with a picture behind the URL that it names."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

import seeing
from schemas import SPEC
from service import default_model, environment
from sighted import BLIND, SEES, install

SNIPPET = SPEC / "snippet_vlm.py"
PAGE = pytest.mark.skipif(not SNIPPET.is_file(), reason="the page's snippets are not at hand: ../shared/spec")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user without keys and without a network, whose configuration has a mirror."""
    home, pictures = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("pictures")
    url = re.search(r'"https://([^/]+)/([^"]+)"', SNIPPET.read_text())
    assert url
    file = pictures / url[2]
    file.parent.mkdir(parents=True)
    Image.fromarray(seeing.picture("harbour", 90, 160)).save(file, "JPEG")
    table = f'[images.mirror]\n"https://{url[1]}/" = "{pictures}/"\n'
    (home / "tertulia").mkdir()
    (home / "tertulia" / "config.toml").write_text(table)
    more = {"HF_HOME": str(home / "hf"), "XDG_DATA_HOME": str(home), "TERTULIA_ENGINE_KV": "64M"}
    # a model of random weights goes on for as long as it may
    more["TERTULIA_ENGINE_CONTEXT"] = "700"
    return environment(home, install(tmp_path_factory.mktemp("store"))) | more


def run(*models: str, env: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    chosen = [word for model in models for word in ("--model", model)]
    argv = [sys.executable, "-m", "tertulia.cli", "run", *chosen, "--", sys.executable, str(SNIPPET)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=50)


@PAGE
def test_it_prints_what_the_model_that_sees_answers(outside: dict[str, str]) -> None:
    ended = run(SEES, env=outside)
    assert ended.returncode == 0, ended.stderr
    assert re.match(r"ChatCompletionOutputMessage\(role='assistant', content=.{3}", ended.stdout)
    assert f"{SEES} of this machine answered" in ended.stderr


@PAGE
def test_it_is_answered_by_the_model_that_sees_also_where_another_comes_first(outside: dict[str, str]) -> None:
    ended = run(BLIND, SEES, env=outside)
    assert ended.returncode == 0, ended.stderr
    assert f"{SEES} of this machine answered" in ended.stderr


@PAGE
def test_a_picture_that_the_mirror_lacks_is_told(outside: dict[str, str], tmp_path: Path) -> None:
    mirror = f"https://cdn.britannica.com/={tmp_path}"
    ended = run(SEES, env=outside | {"TERTULIA_IMAGES_MIRROR": mirror})
    assert ended.returncode != 0
    told = r"BadRequestError.*mirror has no such picture.*messages\[0\]\.content\[1\]\.image_url"
    assert re.search(told, ended.stderr, re.DOTALL), ended.stderr


@PAGE
def test_with_nothing_configured_the_model_that_comes_with_tertulia_says_what_it_sees(
    outside: dict[str, str], tmp_path: Path
) -> None:
    default_model()
    url = re.search(r'"https://cdn.britannica.com/([^"]+)"', SNIPPET.read_text())
    assert url
    file = tmp_path / url[1]
    file.parent.mkdir(parents=True)
    picture = Image.new("RGB", (320, 320), "white")
    ImageDraw.Draw(picture).ellipse((80, 80, 240, 240), fill=(38, 80, 214))
    picture.save(file, "JPEG")
    mirror = {"TERTULIA_IMAGES_MIRROR": f"https://cdn.britannica.com/={tmp_path}"}
    ended = run(env=environment(tmp_path) | {"HF_HOME": str(tmp_path)} | mirror)
    assert "content='A blue circle in the middle.'" in ended.stdout, ended.stderr
    assert "tertulia/sight of this machine answered" in ended.stderr
