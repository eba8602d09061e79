"""The benchmark of pictures: it runs, over a model of the shape of the one that comes with Tertulia."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from tertulia.engine.checkpoint import open_checkpoint
from tertulia.engine.eye import open_eye
from tertulia.engine.idefics import Idefics

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import eye, fair, pictures  # noqa: E402


def constants(*path: str) -> dict[str, object]:
    """What a module sets to plain values; it need not be imported for that."""
    found: dict[str, object] = {}
    for line in ast.parse(ROOT.joinpath("tools", "sight", *path).read_text()).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = ast.literal_eval(line.value)
            except ValueError:
                continue
    return found


def test_the_model_that_is_measured_has_the_shape_of_the_one_that_is_trained() -> None:
    trained = constants("model.py")
    assert (trained["VISION"], trained["TEXT"]) == (eye.VISION, eye.TEXT)
    assert (trained["FACTOR"], trained["ROWS"]) == (eye.FACTOR, eye.ROWS)
    assert constants("data.py")["SIDE"] == eye.SIDE
    assert constants("draw.py")["PATCH"] == eye.PATCH


def test_it_sees(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(eye.folder(tmp_path, tmp_path / "made"))
    assert isinstance(checkpoint.vision, Idefics)
    tower = open_eye(checkpoint.vision, checkpoint.weight, 2)
    work = tower.see(checkpoint.vision.cut(np.zeros((50, 70, 3), np.uint8)))
    with pytest.raises(StopIteration) as end:
        while True:
            next(work)
    rows = end.value.value
    assert rows.shape == (36, eye.TEXT["hidden_size"])
    assert np.isfinite(rows).all()


def test_a_model_that_sees_is_measured_if_it_is_asked_for(tmp_path: Path) -> None:
    asked = eye.write(tmp_path / "asked")
    assert eye.folder(asked, tmp_path / "made") == asked
    assert not (tmp_path / "made").exists()


def test_gaps_are_told_by_what_went_on_meanwhile() -> None:
    answer = {"begun": 1.0, "ended": 2.0, "times": [[0.0, 0.5, 1.5, 2.5, 3.5], [0.25, 0.75, 0.9]]}
    quiet, busy = fair.gaps(answer)
    assert quiet == pytest.approx([1000, 500, 150])
    assert busy == pytest.approx([1000, 1000])


def test_all_of_it_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BESIDE", ((1, 2),))
    monkeypatch.setattr(pictures, "TOKENS", (4,))
    monkeypatch.setattr(pictures, "AT_ONCE", 2)
    monkeypatch.setattr(pictures, "QUIET", 0.1)
    rows = pictures.run(tmp_path, 1)
    assert [row.bench for row in rows] == ["picture", "pictures", "beside"]
    assert all(figure > 0 for row in rows for figure in row.figures.values())
    assert len({pictures.draw() for _ in range(3)}) == 3
