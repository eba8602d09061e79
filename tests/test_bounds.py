"""Large pictures, posted to `tertulia serve` as it is by default: what is too much is refused before it takes memory,
and what isn't is read a little at a time."""

import json
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hostile
from drawing import data_url, file
from service import Service, most, serving, settle
from sighted import SEES, install, shown, site, talking
from tertulia.net import MEBI


@pytest.fixture(scope="module")
def sighted(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    home = tmp_path_factory.mktemp("home")
    (home / "tertulia").mkdir()
    (home / "tertulia" / "config.toml").write_text('[images]\nhosts = ["localhost"]\n')
    with serving(home, model=SEES, store=install(tmp_path_factory.mktemp("store"))) as running:
        running.wait()
        yield running


def post(service: Service, *urls: str, path: str = "/v1/chat/completions", **fields: Any) -> tuple[int, Any]:
    body = json.dumps({"messages": shown(*urls), **talking(max_tokens=2), **fields}).encode()
    asked = urllib.request.Request(service.address + path, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=50) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def large(width: int, height: int, shade: int = 0) -> str:
    """A picture of one shade, in a small file."""
    return data_url(file(np.full((height, width), shade, np.uint8)))


@pytest.mark.parametrize(("width", "height"), [(1, 40_000_000), (40_000_000, 1)])
def test_a_picture_that_is_all_length_is_refused_before_it_is_there(sighted: Service, width: int, height: int) -> None:
    url = data_url(hostile.png(width, height, pixels=bytes((width // 8 + 1) * height)))
    assert post(sighted, large(8, 8))[0] == 200
    before = settle(sighted.engine())
    status, told = post(sighted, url)
    assert (status, told["param"]) == (400, "messages[0].content[1].image_url")
    assert told["message"] == (
        f"the picture has {width} x {height} pixels, one side more than 200 times the other: crop it"
    )
    assert most(sighted.engine()) - before < 16 * MEBI


def test_more_pixels_than_allowed_are_refused_by_their_number(sighted: Service) -> None:
    status, told = post(sighted, data_url(hostile.png(8_000, 5_001)))
    assert (status, told["param"]) == (400, "messages[0].content[1].image_url")
    assert "8000 x 5001 pixels, which is not between 1 and 40000000: scale it" in told["message"]


def test_a_data_url_of_more_than_twenty_megabytes_is_refused(sighted: Service) -> None:
    status, told = post(sighted, data_url(bytes(21 * MEBI)))
    assert (status, told["param"]) == (400, "messages[0].content[1].image_url")
    assert told["message"] == "the picture's file is larger than 21 MB: send a smaller one"


def test_a_request_of_more_than_its_bound_is_told_the_bound(sighted: Service) -> None:
    status, told = post(sighted, *[data_url(bytes(18 * MEBI))] * 3)
    assert status == 413
    assert "67108864 are allowed (body_limit in [server])" in told["message"]


def test_twenty_pictures_are_read_and_one_more_is_refused_at_its_part(sighted: Service) -> None:
    urls = [large(60, 20, shade) for shade in range(21)]
    few = {"max_tokens": 2, "messages": shown(*urls[:20])}
    assert post(sighted, path="/v1/chat/completions/input_tokens", **few)[1]["input_tokens"] > 20 * 16
    status, told = post(sighted, *urls)
    assert (status, told["param"]) == (400, "messages[0].content[21].image_url")
    assert told["message"] == "the messages hold 21 images; 20 are read at most: send fewer"


def test_twenty_large_pictures_are_decoded_one_after_another(sighted: Service) -> None:
    urls = [large(3600, 1400, shade) for shade in range(20)]
    assert post(sighted, urls[0])[0] == 200
    before = settle(sighted.engine())
    assert post(sighted, *urls)[0] == 200
    taken, decoded = most(sighted.engine()) - before, 20 * 3600 * 1400 * 3
    assert taken < decoded / 3, f"{taken / MEBI:.0f} MB"


def test_of_twenty_large_files_only_some_are_in_memory_at_once(sighted: Service, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1560, 4000, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(file(noise, compress_level=0))
    size = (tmp_path / "a.png").stat().st_size
    assert size > 18_000_000
    with site(tmp_path) as place:
        urls = [f"{place}/a.png?{number}" for number in range(20)]
        assert post(sighted, urls[0])[0] == 200
        before = settle(sighted.engine())
        assert post(sighted, *urls)[0] == 200
    taken = most(sighted.engine()) - before
    assert taken < 20 * size, f"{taken / MEBI:.0f} MB; files and pixels of all would be {40 * size / MEBI:.0f}"


def test_a_prompt_is_counted_as_it_is_used(sighted: Service) -> None:
    asked = {"messages": shown(large(40, 30), large(30, 90))}
    status, counted = post(sighted, path="/v1/chat/completions/input_tokens", **asked)
    assert status == 200
    assert post(sighted, **asked)[1]["usage"]["prompt_tokens"] == counted["input_tokens"]
