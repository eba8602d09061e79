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

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import seeing  # noqa: E402

KEPT = 6
Content = list[Any]


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
    "turns": [user(["a", 64, 64], "What is it?"), assistant("It is the class."), user("and this?", ["h", 48, 100])],
}


def layout(content: Content) -> list[dict[str, str]]:
    """A content as chat templates know it."""
    return [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in content]


@torch.inference_mode()
def record(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What transformers makes of each case, with the model `name`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        seeing.write(name, folder)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        prepare = Idefics3ImageProcessorPil.from_pretrained(folder)
    config = model.config
    count = (prepare.max_image_size["longest_edge"] // config.vision_config.patch_size // config.scale_factor) ** 2
    processor = Idefics3Processor(prepare, tokenizer, image_seq_len=count, chat_template=seeing.TEMPLATES[name])
    cases, logits = [], {}
    for case, messages in CASES.items():
        talk = [{**message, "content": layout(message["content"])} for message in messages]
        text = processor.apply_chat_template(talk, add_generation_prompt=True)
        shown = [part for message in messages for part in message["content"] if not isinstance(part, str)]
        pictures = [Image.fromarray(seeing.picture(*part)) for part in shown]
        given = processor(text=text, images=pictures or None, return_tensors="pt")
        alone = [prepare(picture, return_tensors="np")["pixel_values"][0] for picture in pictures]
        ids = given["input_ids"][0].tolist()
        logits[case] = model(**given, use_cache=False).logits[0, -KEPT:].numpy()
        tiles = [hashlib.sha256(np.ascontiguousarray(tile).tobytes()).hexdigest() for tile in alone]
        cases.append({"name": case, "messages": messages, "ids": ids, "tiles": tiles})
        print(f"{name}, {case}: {len(ids)} tokens, logits deviate by {logits[case].std():.2f}")
    libraries = {library: version(library) for library in ("torch", "transformers", "pillow", "numpy")}
    return {"versions": libraries, "cases": cases}, logits


def main() -> None:
    """Write the files of both models."""
    torch.set_num_threads(1)
    folder = ROOT / "tests" / "data" / "sight"
    folder.mkdir(parents=True, exist_ok=True)
    for name in seeing.TEMPLATES:
        told, logits = record(name)
        (folder / f"{name}.json").write_text(json.dumps(told, separators=(",", ":")) + "\n", encoding="utf-8")
        save_file(logits, folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()
