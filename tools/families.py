"""Run transformers over the tiny models of tests/tiny.py and write what it answers to tests/data/families.

    python tools/families.py [NAME ...]

Needs torch, transformers and safetensors, which the project itself does not. One file a model:

    model           the name in tiny.CONFIGS
    versions        of the libraries that made the file
    weights_sum     the sum of the absolute weights; where yours differs, the weights are wrong, not the graph
    max_score       the largest absolute attention score before the softmax
    input_ids       the tokens, the same in every run
    runs            a list of: position_ids, rows (the indices into input_ids that the logits belong to),
                    logits (a list for each row, over the whole vocabulary), and noise (how far the logits
                    move when all but rope's angles is computed in float64: so much means nothing)

Models with rope scaling run three times: from position 0, from position 9000, and over positions with wide
gaps. Only the last tells much: rope is relative, so a shift alone changes nothing but the rounding of the
angles, which moves the logits by as much as 0.006.
"""

import argparse
import copy
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from transformers.models.llama import modeling_llama
from transformers.models.qwen2 import modeling_qwen2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import tiny  # noqa: E402

COUNT = 80
ROWS = (0, 1, 31, 32, 33, 63, 64, 79)
FEW_ROWS = (21, 32, 64, 79)
SCORE = 10.0
LIMIT = 60_000
MODULES: tuple[Any, ...] = (modeling_llama, modeling_qwen2)


class Scores:
    """While it is entered, remembers the largest absolute attention score of the eager attention."""

    largest = 0.0

    def __enter__(self) -> "Scores":
        """Wrap the eager attention of every family."""
        self.kept = [module.eager_attention_forward for module in MODULES]
        for module, forward in zip(MODULES, self.kept, strict=True):
            module.eager_attention_forward = self.wrap(forward)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the original functions back."""
        for module, forward in zip(MODULES, self.kept, strict=True):
            module.eager_attention_forward = forward

    def wrap(self, forward: Any) -> Any:
        """Measure the scores that the mask lets through, then do what `forward` does."""

        def scored(layer: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **_: Any) -> Any:
            repeated = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            scores = (query @ repeated.transpose(2, 3) * scaling).masked_fill(mask < 0, 0.0)
            self.largest = max(self.largest, scores.abs().max().item())
            return forward(layer, query, key, value, mask, scaling=scaling)

        return scored


def load(name: str) -> Any:
    """The tiny model `name` as transformers reads it from its files."""
    with tempfile.TemporaryDirectory() as folder:
        tiny.write(name, Path(folder))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        return model.eval()


@torch.inference_mode()
def logits(model: Any, ids: list[int], positions: list[int]) -> torch.Tensor:
    """The logits after every token, as one sequence whatever gaps its positions have."""
    batch, where = torch.tensor([ids]), torch.tensor([positions])
    # Without a mask, transformers takes a gap in the positions for the start of another sequence.
    mask = torch.ones_like(batch)
    return model(batch, attention_mask=mask, position_ids=where, use_cache=False).logits[0]


def paths(config: dict[str, Any]) -> list[list[int]]:
    """The positions of each run."""
    start = list(range(COUNT))
    if not config.get("rope_scaling"):
        return [start]
    gaps = [base + step for base in (0, 700, 4000, 9000) for step in range(COUNT // 4)]
    return [start, [9000 + position for position in start], gaps]


def unscaled(model: Any) -> Any:
    """A copy of `model` without its rope scaling."""
    config = copy.deepcopy(model.config)
    config.rope_parameters = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}
    bare = LlamaForCausalLM._from_config(config, attn_implementation="eager").eval()
    bare.load_state_dict(model.state_dict())
    return bare


def study(name: str) -> dict[str, Any]:
    """Everything that goes into the file of the model `name`."""
    config, ids, model = tiny.CONFIGS[name], tiny.tokens(name, COUNT), load(name)
    total = sum(weight.double().abs().sum().item() for weight in model.parameters())
    double = copy.deepcopy(model).double()
    runs: list[dict[str, Any]] = []
    with Scores() as scores:
        for positions in paths(config):
            rows = FEW_ROWS if runs else ROWS
            single = logits(model, ids, positions)
            noise = (single - logits(double, ids, positions)).abs().max().item()
            values = [[round(value, 5) for value in single[row].tolist()] for row in rows]
            runs.append({"position_ids": positions, "rows": rows, "noise": round(noise, 6), "logits": values})
    if scores.largest < SCORE:
        raise SystemExit(f"{name}: the largest score is {scores.largest:.1f}, wanted {SCORE} or more")
    if len(runs) > 1:
        moved = [
            (logits(model, ids, positions) - logits(unscaled(model), ids, positions)).abs().max().item()
            for positions in paths(config)
        ]
        print(f"{name}: without rope scaling the logits move by", *(f"{move:.4f}" for move in moved))
        if moved[-1] < 1:
            raise SystemExit(f"{name}: rope scaling hardly shows")
    return {
        "model": name,
        "versions": {library: version(library) for library in ("torch", "transformers", "numpy")},
        "weights_sum": round(total, 2),
        "max_score": round(scores.largest, 3),
        "input_ids": ids,
        "runs": runs,
    }


def main() -> None:
    """Write the file of every model named on the command line, or of all."""
    parser = argparse.ArgumentParser(description="Write tests/data/families with transformers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(tiny.CONFIGS)}; default all")
    torch.set_num_threads(1)
    folder = ROOT / "tests" / "data" / "families"
    folder.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().names or tiny.CONFIGS:
        found = study(name)
        text = json.dumps(found, separators=(",", ":")) + "\n"
        if len(text) > LIMIT:
            raise SystemExit(f"{name}: {len(text)} bytes, more than {LIMIT}")
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        noise = max(run["noise"] for run in found["runs"])
        print(f"{name}: {len(text)} bytes, largest score {found['max_score']}, noise {noise}")


if __name__ == "__main__":
    main()
