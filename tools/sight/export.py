"""A checkpoint becomes a folder that transformers (and our engine) can load: `python -m sight.export` (in tools/).

Writes config.json, generation_config.json, model.safetensors (float16), tokenizer.json, tokenizer_config.json,
special_tokens_map.json, chat_template.jinja, preprocessor_config.json and processor_config.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from . import data, model, tokens

IMAGES = {
    "image_processor_type": "Idefics3ImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "do_image_splitting": False,
    "do_rescale": True,
    "do_normalize": True,
    "do_pad": True,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "size": {"longest_edge": data.SIDE},
    "max_image_size": {"longest_edge": data.SIDE},
    "resample": 1,
}


def tokenizer_files() -> dict[str, dict[str, Any]]:
    ends = {
        "bos_token": tokens.SPECIAL[tokens.START],
        "eos_token": tokens.SPECIAL[tokens.END],
        "pad_token": tokens.SPECIAL[tokens.PAD],
    }
    more = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "Idefics3Processor",
        "additional_special_tokens": [tokens.SPECIAL[at] for at in (tokens.FAKE, tokens.IMAGE, tokens.GLOBAL)],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "padding_side": "left",
    }
    return {
        "tokenizer_config.json": {**ends, **more},
        "special_tokens_map.json": ends,
        "preprocessor_config.json": IMAGES,
        "processor_config.json": {"processor_class": "Idefics3Processor", "image_seq_len": tokens.SEES},
        "generation_config.json": {
            "bos_token_id": tokens.START,
            "eos_token_id": tokens.END,
            "pad_token_id": tokens.PAD,
            "do_sample": False,
            "max_new_tokens": 64,
        },
        "config.json": {**model.config(), "dtype": "float16"},
    }


def export(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write everything but the model card. weights: a Sight's state, aids and all."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: weight.half().contiguous() for name, weight in weights.items() if name.startswith("model.")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    tokens.load().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(tokens.TEMPLATE)
    for name, content in tokenizer_files().items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a newest.pt that train.py wrote")
    parser.add_argument("folder", type=Path, help="models/sight")
    given = parser.parse_args()
    export(torch.load(given.checkpoint, weights_only=True)["model"], given.folder)


if __name__ == "__main__":
    main()
