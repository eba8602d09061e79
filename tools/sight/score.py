"""Scores a model on the held-out set: `python -m sight.score ../models/sight` (in tools/) with transformers, or
`python -m sight.score http://127.0.0.1:8080/v1` as a running `tertulia serve` answers.

Greedy answers, right when they equal the wanted one but for case and white space; a description is right when it
names the same things in any order. The hashes of heldout.sha256 are checked first: other pictures give other scores.
"""

import argparse
import base64
import io
import json
import re
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from . import data, draw, heldout

Answer = Callable[[list[Image.Image], list[str]], list[str]]
"""Asks questions, each of a picture of its own."""
MODEL = "tertulia/sight"
LEAST = {"colour": 0.95, "shape": 0.95, "count": 0.9, "position": 0.9, "word": 0.8}


def same(kind: str, said: str, wanted: str) -> bool:
    """Whether an answer counts as right."""
    said, wanted = said.strip().lower(), wanted.lower()
    if kind != "describe":
        return said == wanted
    return sorted(re.split(r", | and ", said.rstrip("."))) == sorted(re.split(r", | and ", wanted.rstrip(".")))


def loaded(folder: Path) -> Answer:
    """Answers by transformers, from a folder."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def answer(pictures: list[Image.Image], asked: list[str]) -> list[str]:
        texts = [
            processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "text", "text": question}, {"type": "image"}]}],
                add_generation_prompt=True,
            )
            for question in asked
        ]
        images = [[picture] for picture in pictures]
        inputs = processor(text=texts, images=images, return_tensors="pt", padding=True)
        ids = model.generate(**inputs, max_new_tokens=60, do_sample=False)
        return processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def served(address: str) -> Answer:
    """Answers by a server, eight questions at a time, each with a PNG."""

    def one(picture: Image.Image, question: str) -> str:
        file = io.BytesIO()
        picture.save(file, "PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 60}
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/chat/completions", json.dumps(body).encode(), head)
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)["choices"][0]["message"]["content"]

    def answer(pictures: list[Image.Image], asked: list[str]) -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, pictures, asked))

    return answer


def score(answer: Answer, split: str, kind: str, count: int, show: int = 0) -> float:
    """The share of right answers; prints the first `show` wrong ones."""
    cases = list(heldout.cases(split, kind, count))
    rights = 0
    for first in range(0, count, 25):
        part = cases[first : first + 25]
        pictures = [Image.fromarray(draw.draw(scene)[0]) for scene, _ in part]
        for said, (scene, asked) in zip(answer(pictures, [asked.question for _, asked in part]), part, strict=True):
            good = same(kind, said, asked.answer)
            rights += good
            if not good and show > 0:
                show -= 1
                print(f"  {kind} {scene.index}: {asked.question!r} wanted {asked.answer!r} said {said!r}")
    return rights / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", help="a folder, or the address of a server")
    parser.add_argument("--split", default="heldout", choices=("valid", "heldout"))
    parser.add_argument("--count", type=int, default=heldout.COUNT, help="questions a class")
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print a class")
    given = parser.parse_args()
    if given.split == "heldout":
        found = {"facts": heldout.facts(), "pixels": heldout.pixels()}
        if found != heldout.written():
            raise SystemExit(f"not the held-out set: {found}")
    answer = served(given.who) if given.who.startswith("http") else loaded(Path(given.who))
    short = []
    for kind in data.CLASSES:
        share = score(answer, given.split, kind, given.count, given.show)
        least = LEAST.get(kind)
        short += [kind] if least and share < least else []
        print(f"{kind:10} {share:.3f}" + (f"  (at least {least})" if least else ""), flush=True)
    if short and given.split == "heldout":
        raise SystemExit(f"not reached: {', '.join(short)}")


if __name__ == "__main__":
    main()
