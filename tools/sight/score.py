"""Scores an exported folder on the held-out set with transformers: `python -m sight.score` (in tools/).

Greedy answers, right when they equal the wanted one but for case and white space; a description is right when it
names the same things in any order. The hashes of heldout.sha256 are checked first: other pictures give other scores.
"""

import argparse
import re
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from . import data, draw, heldout

LEAST = {"colour": 0.95, "shape": 0.95, "count": 0.9, "position": 0.9, "word": 0.8}


def same(kind: str, said: str, wanted: str) -> bool:
    """Whether an answer counts as right."""
    said, wanted = said.strip().lower(), wanted.lower()
    if kind != "describe":
        return said == wanted
    return sorted(re.split(r", | and ", said.rstrip("."))) == sorted(re.split(r", | and ", wanted.rstrip(".")))


class Seer:
    """A loaded folder. `answer` asks many questions, each of its own picture, and gives the answers."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def answer(self, pictures: list[Image.Image], asked: list[str]) -> list[str]:
        texts = [
            self.processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "text", "text": question}, {"type": "image"}]}],
                add_generation_prompt=True,
            )
            for question in asked
        ]
        inputs = self.processor(
            text=texts, images=[[picture] for picture in pictures], return_tensors="pt", padding=True
        )
        ids = self.model.generate(**inputs, max_new_tokens=60, do_sample=False)
        return self.processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def score(seer: Seer, split: str, kind: str, count: int, show: int = 0) -> float:
    """The share of right answers; prints the first `show` wrong ones."""
    cases = list(heldout.cases(split, kind, count))
    rights = 0
    for first in range(0, count, 25):
        part = cases[first : first + 25]
        pictures = [Image.fromarray(draw.draw(scene)[0]) for scene, _ in part]
        for said, (scene, asked) in zip(
            seer.answer(pictures, [asked.question for _, asked in part]), part, strict=True
        ):
            good = same(kind, said, asked.answer)
            rights += good
            if not good and show > 0:
                show -= 1
                print(f"  {kind} {scene.index}: {asked.question!r} wanted {asked.answer!r} said {said!r}")
    return rights / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="heldout", choices=("valid", "heldout"))
    parser.add_argument("--count", type=int, default=heldout.COUNT, help="questions a class")
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print a class")
    given = parser.parse_args()
    if given.split == "heldout":
        found = {"facts": heldout.facts(), "pixels": heldout.pixels()}
        if found != heldout.written():
            raise SystemExit(f"not the held-out set: {found}")
    seer = Seer(given.folder)
    short = []
    for kind in data.CLASSES:
        share = score(seer, given.split, kind, given.count, given.show)
        least = LEAST.get(kind)
        short += [kind] if least and share < least else []
        print(f"{kind:10} {share:.3f}" + (f"  (at least {least})" if least else ""), flush=True)
    if short and given.split == "heldout":
        raise SystemExit(f"not reached: {', '.join(short)}")


if __name__ == "__main__":
    main()
