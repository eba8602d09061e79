"""Trains the model on the processor, with checkpoints: `python -m sight.train` (in tools/), see README.md.

A step's data follow from its number alone, so a checkpoint is the weights, the optimiser's state and the number:
training that was stopped and continued gives the same weights as training that was not.

While the file of --quiet exists it saves and waits; at a SIGTERM or at the time of --until it saves and ends.
"""

import argparse
import datetime
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from . import data, draw, heldout, model, tokens
from .muon import Muon

FIRST, SECOND, THIRD, STEPS = 2800, 4000, 6402, 7600
"""The steps at which the lessons end: the vision tower alone, the text part alone, both, the text part alone again with
more shapes."""
EAGER = 5734
"""The step from which shapes are asked first: which shape has a colour is learnt last."""
BATCH, LENGTH = 32, 160
"""Pictures a step, tokens a row."""
WARM, FADE, END, AGAIN = 100, 2380, 6800, 0.5
"""Steps of the rate's way up, steps of its way down to nothing at END, and its share in the last lesson."""
RATE, ADAM = 0.02, 0.003
CHECKED = 60
"""Questions a class when the validation split is asked."""


def rate(step: int) -> float:
    """The share of the full rate: up over WARM steps, level, down towards END, and down again in the last lesson."""
    if step >= THIRD:
        return AGAIN * min(1.0, max(0.01, (STEPS - step) / (STEPS - THIRD) / 0.6))
    return min(1.0, (step + 1) / WARM, max((END - step) / FADE, 0.01))


def blind(step: int) -> bool:
    """Whether the vision tower rests."""
    return FIRST <= step < SECOND or step >= THIRD


def batch(step: int, first: int, count: int, tokenizer: tokens.Tokenizer) -> dict[str, Tensor]:
    """Rows first to first + count of a step."""
    early = step < FIRST
    about = "dense" if early else ""
    scenes = [
        data.scene("train", step * BATCH + at, "shape" if step >= THIRD and at % 2 else about)
        for at in range(first, first + count)
    ]
    found = pictures(scenes)
    if not early:
        rows = [
            tokens.row(random.Random(f"{data.SEED}/row/{scene.index}"), scene, tokenizer, LENGTH, step >= EAGER)
            for scene in scenes
        ]
        found |= {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
    return found


def pictures(scenes: list[data.Scene]) -> dict[str, Tensor]:
    drawn = [draw.draw(scene) for scene in scenes]
    return {
        "pixels": torch.from_numpy(np.stack([pixels for pixels, _ in drawn])),
        "truth": torch.from_numpy(np.stack([truth for _, truth in drawn])).long(),
    }


class Training:
    """Model, optimisers and the number of the next step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.tokenizer = tokens.load()
        self.model = model.Sight()
        named = list(self.model.named_parameters())
        inner = [weight for name, weight in named if weight.ndim == 2 and "layers" in name]
        kept = {id(weight) for weight in inner}
        self.muon = Muon(inner)
        self.adam = torch.optim.AdamW(
            [weight for _, weight in named if id(weight) not in kept], ADAM, (0.9, 0.95), weight_decay=0.0
        )
        self.step = 0

    def save(self, path: Path) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "muon": self.muon.moments,
            "adam": self.adam.state_dict(),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.muon.moments = state["muon"]
        self.adam.load_state_dict(state["adam"])

    def advance(self, micro: int) -> dict[str, float]:
        """One step, its gradient gathered `micro` pictures at a time. The mean losses and the share of right tokens."""
        self.model.zero_grad()
        sums = dict.fromkeys(("answers", "aid", "right"), 0.0)
        for first in range(0, BATCH, micro):
            piece = batch(self.step, first, micro, self.tokenizer)
            loss = torch.zeros(())
            with torch.set_grad_enabled(not blind(self.step)):
                seen = self.model.see(piece["pixels"])
            if not blind(self.step):
                aid = model.aid(self.model, seen, piece["truth"])
                sums["aid"] += float(aid.detach())
                loss = loss + aid * (1.0 if self.step < FIRST else 0.2)
            if self.step >= FIRST:
                said, wanted, _ = model.answers(self.model, seen, piece)
                answers = F.cross_entropy(said, wanted)
                sums["answers"] += float(answers.detach())
                sums["right"] += float((said.argmax(-1) == wanted).float().mean())
                loss = loss + answers
            (loss * micro / BATCH).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        share = rate(self.step)
        self.muon.step(RATE * share)
        for group in self.adam.param_groups:
            group["lr"] = ADAM * share
        self.adam.step()
        self.step += 1
        return {name: value * micro / BATCH for name, value in sums.items()}


def check(training: Training, count: int = CHECKED) -> dict[str, float]:
    """On the validation split: what the aids name rightly, and after the first lesson the share of right answers a
    class. An answer is right if each of its tokens is the likeliest after the right ones before it: the same as an
    exact match of the greedy answer."""
    found: dict[str, float] = {}
    scenes = [data.scene("valid", index, "dense") for index in range(64)]
    names = ("glyphs", "places", "shapes", "colours")
    found |= zip(names, model.aided(training.model, pictures(scenes)), strict=True)
    if training.step <= FIRST:
        return found
    for kind in data.CLASSES:
        rights = 0
        cases = probe("valid", kind, count, training.tokenizer)
        for first in range(0, count, 20):
            piece = {name: value[first : first + 20] for name, value in cases.items()}
            rights += int(model.right(training.model, piece).sum())
        found[kind] = rights / count
    return found


def probe(split: str, kind: str, count: int, tokenizer: tokens.Tokenizer) -> dict[str, Tensor]:
    """The first questions of a class, one a row."""
    rows = [
        {"pixels": draw.draw(scene)[0], **tokens.one(asked, tokenizer, 144)}
        for scene, asked in heldout.cases(split, kind, count)
    ]
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}


def run(training: Training, folder: Path, micro: int, until: datetime.datetime | None, quiet: Path | None) -> None:
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    newest = folder / "newest.pt"
    saved = checked = time.monotonic()
    while training.step < STEPS and not stop:
        if until and datetime.datetime.now() > until:
            break
        if quiet and quiet.exists():
            training.save(newest)
            while quiet.exists() and not stop and not (until and datetime.datetime.now() > until):
                time.sleep(2)
            continue
        start, spent = time.monotonic(), time.process_time()
        sums = training.advance(micro)
        if training.step % 10 == 0:
            say = " ".join(f"{name} {value:.3f}" for name, value in sums.items())
            took, used = time.monotonic() - start, time.process_time() - spent
            log(folder, f"step {training.step} {say} seconds {took:.1f} processor {used:.1f}")
        if time.monotonic() - saved > 600:
            training.save(newest)
            saved = time.monotonic()
        if time.monotonic() - checked > 1500:
            log(folder, f"step {training.step} valid {check(training)}")
            checked = time.monotonic()
    training.save(newest)
    log(folder, f"step {training.step} saved")


def log(folder: Path, line: str) -> None:
    text = f"{datetime.datetime.now():%m-%d %H:%M:%S} {line}"
    print(text, flush=True)
    with (folder / "log.txt").open("a") as file:
        file.write(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where checkpoints (newest.pt) and log.txt go")
    parser.add_argument("--resume", action="store_true", help="go on from newest.pt")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--micro", type=int, default=16, help="pictures at a time; changes only rounding")
    parser.add_argument("--until", help="HH:MM today, local time: save and end")
    parser.add_argument("--quiet", type=Path, help="a file; while it exists training rests")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    training = Training()
    if given.resume:
        training.load(given.folder / "newest.pt")
    until = None
    if given.until:
        hour, minute = given.until.split(":")
        until = datetime.datetime.now().replace(hour=int(hour), minute=int(minute), second=0)
    run(training, given.folder, given.micro, until, given.quiet)


if __name__ == "__main__":
    main()
