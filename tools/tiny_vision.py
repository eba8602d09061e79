"""Show pictures to the tiny models of tests/seeing.py with transformers and write what it makes of them to
tests/data/sight.

    python tools/tiny_vision.py

Needs torch and transformers, which the project itself does not. All is computed in float32. For each model there is

    NAME.json           the versions of the libraries, and the cases: name, messages (a content is a list of texts and
                        of pictures: name, height, width), ids (the prompt's tokens), tiles (of each picture the sha256
                        of what the vision tower is given, float32)
    NAME.safetensors    for each case, under its name, the logits after the prompt's last tokens
"""

import hashlib
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from transformers import AutoModelForImageTextToText, Idefics3Processor, PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import seeing  # noqa: E402
import seeing_qwen  # noqa: E402

KEPT = 6
Content = list[Any]
Given = dict[str, torch.Tensor]


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


CASES: dict[str, list[dict[str, Any]]] = {
    "text": [user("What is the import of this? The range is True.")],
    "square": [user(["a", 64, 64], "What is this?")],
    "landscape": [user("What is it, then, in the print?", ["b", 90, 230])],
    "portrait": [user(["c", 301, 77], "from what class is this")],
    "odd": [user(["d", 37, 53], "for what?")],
    "tiny": [user(["e", 1, 3], "and that?")],
    "thin": [user(["f", 5, 400], "or that?")],
    "two": [user("This", ["a", 64, 64], "and this", ["g", 130, 97], "are for what?")],
    "wide": [user("and what is in", ["w", 45, 88], "or in", ["t", 120, 40], "?")],
    "turns": [user(["a", 64, 64], "What is it?"), assistant("It is the class."), user("and this?", ["h", 48, 100])],
}


def layout(content: Content) -> list[dict[str, str]]:
    """A content as chat templates know it."""
    return [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in content]


class Idefics:
    """Prepares prompts and pictures for Idefics3 and SmolVLM, as transformers' own class does."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        self._images = Idefics3ImageProcessorPil.from_pretrained(folder)
        config = seeing.config(name)
        side = self._images.max_image_size["longest_edge"]
        count = (side // config["vision_config"]["patch_size"] // config["scale_factor"]) ** 2
        self._both = Idefics3Processor(self._images, tokenizer, image_seq_len=count)

    def __call__(self, text: str, pictures: list[Image.Image]) -> Given:
        return dict(self._both(text=text, images=pictures or None, return_tensors="pt"))

    def pixels(self, picture: Image.Image) -> np.ndarray:
        """What the vision tower is given of a picture."""
        return self._images(picture, return_tensors="np")["pixel_values"][0]


class Qwen:
    """The same for Qwen2.5-VL, whose own class wants torchvision."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        self._images = Qwen2VLImageProcessorPil.from_pretrained(folder)
        self._tokenizer = tokenizer

    def __call__(self, text: str, pictures: list[Image.Image]) -> Given:
        begin, *rest = text.split(seeing_qwen.IMAGE)
        shown: Given = dict(self._images(pictures, return_tensors="pt")) if pictures else {}
        counts = [int(grid.prod()) // self._images.merge_size**2 for grid in shown.get("image_grid_thw", ())]
        whole = begin + "".join(seeing_qwen.IMAGE * count + part for count, part in zip(counts, rest, strict=True))
        ids = torch.tensor([self._tokenizer(whole)["input_ids"]])
        return {**shown, "input_ids": ids, "mm_token_type_ids": (ids == seeing_qwen.TOKEN).int()}

    def pixels(self, picture: Image.Image) -> np.ndarray:
        """What the vision tower is given of a picture."""
        return self._images(picture, return_tensors="np")["pixel_values"]


@torch.inference_mode()
def record(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What transformers makes of each case, with the model `name`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        seeing.write(name, folder)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        processor = (Qwen if name in seeing.QWEN else Idefics)(folder, tokenizer, name)
    cases, logits = [], {}
    for case, messages in CASES.items():
        talk = [{**message, "content": layout(message["content"])} for message in messages]
        template = seeing.TEMPLATES[name]
        text = tokenizer.apply_chat_template(talk, chat_template=template, add_generation_prompt=True, tokenize=False)
        shown = [part for message in messages for part in message["content"] if not isinstance(part, str)]
        pictures = [Image.fromarray(seeing.picture(*part)) for part in shown]
        given = processor(text, pictures)
        ids = given["input_ids"][0].tolist()
        logits[case] = model(**given, use_cache=False).logits[0, -KEPT:].numpy()
        alone = [np.ascontiguousarray(processor.pixels(picture)) for picture in pictures]
        tiles = [hashlib.sha256(tile.tobytes()).hexdigest() for tile in alone]
        cases.append({"name": case, "messages": messages, "ids": ids, "tiles": tiles})
        print(f"{name}, {case}: {len(ids)} tokens, logits deviate by {logits[case].std():.2f}")
    libraries = {library: version(library) for library in ("torch", "transformers", "pillow", "numpy")}
    return {"versions": libraries, "cases": cases}, logits


def main() -> None:
    """Write the files of all models."""
    torch.set_num_threads(1)
    folder = ROOT / "tests" / "data" / "sight"
    folder.mkdir(parents=True, exist_ok=True)
    for name in seeing.TEMPLATES:
        told, logits = record(name)
        (folder / f"{name}.json").write_text(json.dumps(told, separators=(",", ":")) + "\n", encoding="utf-8")
        save_file(logits, folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()
