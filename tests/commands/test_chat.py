"""``tertulia chat --image``: pictures shown from files and URLs, to a real model and to a real server."""

import asyncio
import base64
import hashlib
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

import seeing
from drawing import file, gradient
from service import Service, environment, serving
from sighted import BLIND, SEES, install
from tertulia import cli, terminal
from tertulia.catalog import catalog, local
from tertulia.catalog.catalog import Row, Shipped
from tertulia.catalog.store import Store
from tertulia.errors import BadRequest
from tertulia.types import ChatRequest, Chunk, ChunkChoice, Delta, Image, Message, Text

OURS = "tertulia/sight"
MOST = 1 << 20
KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "gif": "GIF", "tiff": "TIFF"}


def url_of(shown: Image) -> str:
    return shown.image_url.url


class TestPicture:
    """What is named on the command line, as a part of a message."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_file_becomes_a_data_url_of_what_is_in_it_whatever_it_is_called(self, tmp_path: Path, kind: str) -> None:
        content = file(gradient(), KINDS[kind])
        place = tmp_path / "harbour.txt"
        place.write_bytes(content)
        head, _, body = url_of(terminal.picture(str(place), MOST)).partition(",")
        assert head == f"data:image/{kind};base64"
        assert base64.b64decode(body) == content

    @pytest.mark.parametrize("url", ["https://host/a.png", "HTTP://host/a", "data:image/png;base64,AAAA"])
    def test_a_url_stays_one(self, url: str) -> None:
        assert url_of(terminal.picture(url, MOST)) == url

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (None, r"there\.png: No such file"),
            (b"", "it is empty"),
            (b"%PDF-1.7", "it looks like a PDF"),
            (file(gradient())[:60], "cut off"),
            (bytes(MOST + 1), "larger than 1.05 MB"),
        ],
    )
    def test_what_can_t_be_shown_is_told_by_its_name(self, tmp_path: Path, content: bytes | None, told: str) -> None:
        place = tmp_path / "there.png"
        if content is not None:
            place.write_bytes(content)
        with pytest.raises(BadRequest, match=told) as refused:
            terminal.picture(str(place), MOST)
        assert refused.value.message.startswith(f"{place}: ")

    def test_a_folder_is_no_picture(self, tmp_path: Path) -> None:
        with pytest.raises(BadRequest, match="directory"):
            terminal.picture(str(tmp_path), MOST)


class Told:
    """A backend that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        yield Chunk(id="x", created=0, model="m", choices=[ChunkChoice(0, Delta(content="I see."))])


class TestTurns:
    """Pictures in a conversation."""

    def talk(self, *lines: str) -> tuple[str, list[list[Message]]]:
        """What is written while ``lines`` are typed, and the messages of each question."""
        written: list[str] = []
        typed, told = iter([*lines, "/exit"]), Told()
        talk = terminal.Conversation(told, ChatRequest(messages=[]), "", written.append)
        with asyncio.Runner() as runner:
            terminal.converse(runner, talk, lambda: next(typed))
        return "".join(written), [request.messages for request in told.asked]

    def test_a_picture_goes_with_the_next_question_and_stays_in_the_conversation(self, tmp_path: Path) -> None:
        place = tmp_path / "my harbour.png"
        place.write_bytes(file(gradient()))
        written, asked = self.talk(f"/image '{place}'", "/image https://host/b.png", "what?", "and why?")
        (shown,) = asked[0]
        assert isinstance(shown.content, list)
        first, second, text = shown.content
        assert isinstance(first, Image) and isinstance(second, Image) and text == Text("what?")
        assert url_of(first).startswith("data:image/png;base64,") and url_of(second) == "https://host/b.png"
        assert [message.content for message in asked[1]] == [shown.content, "I see.", "and why?"]
        assert f"{place} goes with the next question\n" in written

    def test_what_is_no_picture_is_told_and_the_conversation_goes_on(self) -> None:
        written, asked = self.talk("/image nowhere.png", "/image", "what?")
        assert "nowhere.png: No such file" in written
        assert "/image FILE" in written
        assert [message.content for message in asked[0]] == ["what?"]

    def test_a_reset_forgets_pictures_too(self) -> None:
        _, asked = self.talk("/image https://host/a.png", "/reset", "what?")
        assert [message.content for message in asked[0]] == ["what?"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that somebody put there, and the one that comes with Tertulia."""
    place = install(tmp_path_factory.mktemp("store"))
    Store(place).pull(OURS)
    return place


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths of two pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, width in (("a.png", 40), ("b.webp", 60)):
        (folder / name).write_bytes(file(gradient(width), KINDS[name.partition(".")[2]]))
    return [str(folder / name) for name in ("a.png", "b.webp")]


def chat(store: Path, *words: str, said: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    env = environment(store.parent, store) | {"TERTULIA_ENGINE_KV": "64M"} | more
    argv = [sys.executable, "-m", "tertulia.cli", "chat", "--max-tokens", "6", "--temperature", "0", *words]
    return subprocess.run(argv, env=env, input=said, capture_output=True, text=True, timeout=50)


def test_a_model_here_is_shown_files_and_the_question_may_be_piped_in(store: Path, pictures: list[str]) -> None:
    first, second = pictures
    both = chat(store, "--image", first, "--image", second, "what is it for?")
    assert (both.returncode, both.stderr) == (0, ""), both.stderr
    assert both.stdout.strip()
    piped = chat(store, "--image", first, "--image", second, said="what is it for?\n")
    assert piped.stdout == both.stdout
    assert chat(store, "--image", second, "what is it for?").stdout != both.stdout


def test_a_model_that_sees_is_taken_where_there_is_a_picture_and_none_is_named(
    store: Path, pictures: list[str]
) -> None:
    ended = chat(store, "--image", pictures[0], "--model", BLIND, "what?")
    assert (ended.returncode, ended.stdout) == (1, "")
    told = f"{BLIND} reads text only, not images; of those that are here {OURS}, {SEES} see"
    assert ended.stderr == f"tertulia: {told}\n"
    assert chat(store, "--image", pictures[0], "what?").returncode == 0
    assert chat(store, "--image", pictures[0], "what?", TERTULIA_ENGINE_MODEL=f"{BLIND},{SEES}").returncode == 0


def test_a_model_that_sees_and_comes_with_tertulia_is_there_for_the_first_picture(
    tmp_path: Path, pictures: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeing.write("idefics3", tmp_path / "models" / "ours")
    weights = hashlib.sha256((tmp_path / "models" / "ours" / "model.safetensors").read_bytes()).hexdigest()
    ours = Row(id="us/sees", context=64, licence="", description="", source=Shipped("ours", weights))
    usual = catalog.default()
    monkeypatch.setattr(catalog, "rows", lambda: (ours, usual))
    monkeypatch.setattr(local, "_HOMES", (tmp_path / "models",))
    for name, value in (("CONFIG", ""), ("STORE_PATH", str(tmp_path / "store")), ("ENGINE_KV", "64M")):
        monkeypatch.setenv(f"TERTULIA_{name}", value)
    assert cli.main(["chat", "--image", pictures[0], "--max-tokens", "4", "what?"]) == 0
    assert capsys.readouterr().out.strip()


def test_on_a_new_machine_the_one_that_comes_with_tertulia_answers(tmp_path: Path, pictures: list[str]) -> None:
    ended = chat(tmp_path / "empty", "--image", pictures[0], "what?")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip()


def test_where_no_model_sees_it_is_told_how_to_get_one(
    tmp_path: Path, pictures: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalog, "shipped", list)
    for name, value in (("CONFIG", ""), ("STORE_PATH", str(tmp_path / "store"))):
        monkeypatch.setenv(f"TERTULIA_{name}", value)
    assert cli.main(["chat", "--image", pictures[0], "what?"]) == 1
    assert "no model here sees; `tertulia pull " in capsys.readouterr().err


def test_a_file_that_is_missing_is_told_before_anything_is_loaded_or_sent(store: Path, pictures: list[str]) -> None:
    for words in (["--model", "nothing/there"], ["--url", "http://127.0.0.1:9"]):
        ended = chat(store, *words, "--image", pictures[0], "--image", "nowhere.png", "what?")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == "tertulia: nowhere.png: No such file or directory\n"


def test_what_is_piped_in_and_is_no_text_is_told(store: Path, pictures: list[str]) -> None:
    argv = [sys.executable, "-m", "tertulia.cli", "chat"]
    with Path(pictures[0]).open("rb") as content:
        ended = subprocess.run(
            argv, env=environment(store.parent, store), stdin=content, capture_output=True, timeout=50
        )
    assert ended.returncode == 1
    assert ended.stderr == b"tertulia: what is piped in is not text; --image FILE shows a picture\n"


@pytest.fixture(scope="module")
def served(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    with serving(tmp_path_factory.mktemp("home"), model=SEES, store=store) as running:
        running.wait()
        yield running


def test_a_server_is_shown_files_and_urls(store: Path, pictures: list[str], served: Service) -> None:
    here = chat(store, "--image", pictures[0], "what is it for?")
    there = chat(store, "--url", served.address, "--image", pictures[0], "what is it for?")
    assert (there.returncode, there.stderr, there.stdout) == (0, "", here.stdout)
    refused = chat(store, "--url", served.address, "--image", "http://127.0.0.1/a.png", "what is it for?")
    assert refused.returncode == 1
    assert "127.0.0.1 is not a public address" in refused.stderr


def test_a_server_says_which_of_its_models_see(store: Path, pictures: list[str], served: Service) -> None:
    ended = chat(store, "--url", served.address, "--model", BLIND, "--image", pictures[0], "what?")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{BLIND} can't honour image; {SEES}, {OURS} could" in ended.stderr
