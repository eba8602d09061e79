"""Pulls from the Hub, against a small one on loopback."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hub
import seeing
from hub import Repo, noise, tensors, write_gguf
from tertulia.catalog import files
from tertulia.catalog.progress import Progress
from tertulia.catalog.store import Store
from tertulia.engine.checkpoint import open_checkpoint
from tertulia.errors import StoreError

MEGA = 1 << 20


def left(store: Store) -> list[str]:
    """Every file in the store that is not a lock."""
    return sorted(path.name for path in store.path.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_safetensors_repository(store: Store, there: hub.Hub) -> None:
    there.repos["org/model"] = Repo(
        tensors(**{"README.md": b"words", "onnx/model.onnx": b"x", "pytorch_model.bin": b"y"})
    )
    model = store.pull("org/model")
    weights = there.repos["org/model"].files["model.safetensors"]
    assert (model.id, model.format, model.quantization, model.context) == ("org/model", "safetensors", "BF16", 2048)
    assert (model.template, model.tokenizer) == ("tokenizer_config.json", "tokenizer.json")
    assert model.source == f"hub:org/model@{hub.COMMIT}"
    assert model.sha256 == hashlib.sha256(weights).hexdigest()
    assert model.bytes == len(weights)
    assert (model.folder / "model.safetensors").read_bytes() == weights
    assert sorted(path.name for path in model.folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert store.list() == [model]
    assert store.find("org/model") == store.find("MODEL") == model


@pytest.mark.parametrize("form", seeing.QWEN)
def test_the_model_that_the_page_names_for_images_is_pulled_by_its_short_name(
    store: Store, there: hub.Hub, tmp_path: Path, form: str
) -> None:
    """With a tiny one in its place, in either form; then the engine can open it."""
    seeing.write(form, tmp_path)
    named = "Qwen/Qwen2.5-VL-7B-Instruct"
    there.repos[named] = Repo({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    model = store.pull("qwen2.5-vl-7b")
    assert (model.id, model.architecture, model.context) == (named, "qwen2_5_vl", 4096)
    assert "preprocessor_config.json" in [file.name for file in model.files]
    opened = open_checkpoint(model.folder)
    assert opened.vision and opened.weight("vision.0.qkv") is not None


def test_pulling_twice_asks_nobody(store: Store, there: hub.Hub) -> None:
    there.repos["org/model"] = Repo(tensors())
    first = store.pull("org/model")
    asked = (len(there.asked), there.listings)
    assert store.pull("org/model") == first
    assert (len(there.asked), there.listings) == asked


def test_weights_in_pieces_have_one_digest(store: Store, there: hub.Hub) -> None:
    pieces = {f"model-0000{n}-of-00002.safetensors": noise(1000 + n) for n in (1, 2)}
    index = {"model.safetensors.index.json": b"{}"}
    there.repos["org/model"] = Repo({k: v for k, v in tensors().items() if k != "model.safetensors"} | pieces | index)
    model = store.pull("org/model")
    lines = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in pieces.items())
    assert model.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert model.bytes == 2003
    assert [path.name for path in model.weights] == list(pieces)
    assert (model.folder / "model.safetensors.index.json").exists()


def test_gguf_repository_takes_one_file_and_says_which(store: Store, there: hub.Hub, tmp_path: Path) -> None:
    body = write_gguf(tmp_path / "x.gguf", 15)
    there.repos["org/model-GGUF"] = Repo({f"model-{kind}.gguf": body for kind in ("Q2_K", "Q4_K_M", "Q8_0", "f16")})
    said: list[str] = []
    model = store.pull("org/model-GGUF", progress=Progress(said.append))
    assert [path.name for path in model.weights] == ["model-Q4_K_M.gguf"]
    assert (model.id, model.format, model.quantization) == ("org/model-GGUF", "gguf", "Q4_K_M")
    assert (model.template, model.tokenizer, model.context) == ("gguf", "gguf", 512)
    assert said == ["took model-Q4_K_M.gguf; org/model-GGUF also has Q8_0, F16"]
    assert {one.file for one in there.asked} == {"model-Q4_K_M.gguf"}


@pytest.mark.parametrize("name", ["org/model-GGUF:q8_0", "org/model-GGUF/model-Q8_0.gguf"])
def test_a_quantisation_can_be_named(store: Store, there: hub.Hub, tmp_path: Path, name: str) -> None:
    body = write_gguf(tmp_path / "x.gguf")
    there.repos["org/model-GGUF"] = Repo({f"model-{kind}.gguf": body for kind in ("Q4_K_M", "Q8_0")})
    model = store.pull(name)
    assert [path.name for path in model.weights] == ["model-Q8_0.gguf"]
    assert store.find("org/model-GGUF") == model, "the only one of the repository that is here"
    assert model.id in ("org/model-GGUF:Q8_0", "org/model-GGUF:model-Q8_0")


@pytest.mark.parametrize(("token", "said"), [("", "no token was shown"), ("wrong", "is not allowed to read it")])
def test_gated_repository_says_what_to_do(tmp_path: Path, there: hub.Hub, token: str, said: str) -> None:
    there.repos["org/gated"] = Repo(tensors(), token="hf_right")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "models", there.url, token).pull("org/gated")
    for part in (said, f"Accept the licence on {there.url}/org/gated", "HF_TOKEN"):
        assert part in caught.value.message
    assert not Store(tmp_path / "models").list()


def test_gated_repository_opens_to_its_token(tmp_path: Path, there: hub.Hub) -> None:
    there.repos["org/gated"] = Repo(tensors(), token="hf_right")
    assert Store(tmp_path / "models", there.url, "hf_right").pull("org/gated").id == "org/gated"


@pytest.mark.parametrize(("file", "false"), [("model.safetensors", "0" * 64), ("config.json", "0" * 40)])
def test_wrong_hash_is_refused_and_nothing_of_it_kept(store: Store, there: hub.Hub, file: str, false: str) -> None:
    there.repos["org/model"] = Repo(tensors(), lies={file: false})
    with pytest.raises(StoreError, match=f"{file} of org/model came with another hash"):
        store.pull("org/model")
    assert store.list() == []
    assert file not in left(store)
    assert not [name for name in left(store) if name.endswith(".part")]


def test_a_cut_connection_is_taken_up_where_it_broke(store: Store, there: hub.Hub) -> None:
    there.repos["org/model"] = Repo(tensors(**{"model.safetensors": noise(4 * MEGA)}))
    there.cut["model.safetensors"] = [2 * MEGA + 1000]
    model = store.pull("org/model")
    first, second = there.of("model.safetensors")
    assert (first.range, second.range) == ("", f"bytes={2 * MEGA}-")
    assert first.sent + second.sent < 5 * MEGA
    assert model.weights[0].read_bytes() == noise(4 * MEGA)


def test_a_pull_that_gave_up_is_gone_on_with(store: Store, there: hub.Hub) -> None:
    there.repos["org/model"] = Repo(tensors(**{"model.safetensors": noise(4 * MEGA)}))
    there.cut["model.safetensors"] = [3 * MEGA, 0, 0, 0, 0, 0]
    with pytest.raises(StoreError, match=r"connection was lost .* Pull again to go on from here"):
        store.pull("org/model")
    assert store.list() == []
    store.pull("org/model")
    assert there.of("model.safetensors")[-1].range == f"bytes={3 * MEGA}-"
    assert len(there.of("config.json")) == 1, "what was whole is not fetched again"


def test_a_killed_pull_leaves_no_model_and_the_next_goes_on(store: Store, there: hub.Hub, tmp_path: Path) -> None:
    there.repos["org/model"] = Repo(tensors(**{"model.safetensors": noise(4 * MEGA)}))
    there.hold["model.safetensors"] = 3 * MEGA
    environment = os.environ | {
        "HF_ENDPOINT": there.url,
        "TERTULIA_STORE_PATH": str(store.path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "tertulia.cli", "pull", "org/model"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as pull:
        assert there.held.wait(20)
        while not any(path.stat().st_size >= 2 * MEGA for path in store.path.rglob("*.part")):
            pass
        pull.send_signal(signal.SIGKILL)
    assert store.list() == []
    assert store.find("org/model") is None
    model = store.pull("org/model")
    assert int(there.of("model.safetensors")[-1].range[6:-1]) >= 2 * MEGA
    assert model.weights[0].read_bytes() == noise(4 * MEGA)
    assert left(store) == sorted([*tensors(), "manifest.json"])


def test_what_was_begun_of_another_version_is_not_gone_on_with(store: Store, there: hub.Hub) -> None:
    there.repos["org/model"] = Repo(tensors(), lies={"model.safetensors": "1" * 64})
    staging = store.path / ".staging" / "org--model"
    staging.mkdir(parents=True)
    (staging / f"model.safetensors.{'2' * 16}.part").write_bytes(b"of yesterday")
    there.repos["org/model"].lies.clear()
    assert store.pull("org/model").weights[0].read_bytes() == noise(5000)
    assert there.of("model.safetensors")[0].range == ""


def test_a_full_disk_is_told_in_numbers_before_anything_is_fetched(
    store: Store, there: hub.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.repos["org/model"] = Repo(tensors(**{"model.safetensors": noise(3 * MEGA)}))
    monkeypatch.setattr(files, "free", lambda folder: 2_000_000)
    with pytest.raises(StoreError, match="org/model needs 3 MB more on disk and 2 MB are free"):
        store.pull("org/model")
    assert there.asked == []


def test_a_repository_that_is_not_there(store: Store) -> None:
    with pytest.raises(StoreError, match=r"has no repository org/nothing; if it is a private one, set HF_TOKEN"):
        store.pull("org/nothing")
    assert not list((store.path / ".staging").iterdir())


def test_a_repository_without_weights(store: Store, there: hub.Hub) -> None:
    there.repos["org/words"] = Repo({"README.md": b"words"})
    with pytest.raises(StoreError, match="org/words has no safetensors and no GGUF file"):
        store.pull("org/words")


def test_a_hub_that_can_not_be_reached(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store(tmp_path, "http://127.0.0.1:9").pull("org/model")
    for part in ("http://127.0.0.1:9 can't be reached", "HF_ENDPOINT", "local path"):
        assert part in caught.value.message


def test_files_that_are_not_a_model_leave_nothing(store: Store, there: hub.Hub) -> None:
    there.repos["org/model"] = Repo({"model-Q8_0.gguf": b"GGUF but no more than that"})
    with pytest.raises(StoreError, match="GGUF"):
        store.pull("org/model")
    assert left(store) == []
