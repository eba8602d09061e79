"""``tertulia pull``, ``rm`` and ``models``: what is here, and what could be."""

import argparse

from tertulia.commands import start
from tertulia.commands.start import Add

_PULL = """Fetch a model, check it, and keep it here. A pull that was cut off goes on where it was.

ID is one of
  a name that `tertulia models` shows       smollm2
  a repository of the Hugging Face Hub      OWNER/NAME
  one GGUF file of a repository             OWNER/NAME:Q8_0 or OWNER/NAME/FILE.gguf
  a GGUF file or a folder of yours          ./models/mine.gguf

For repositories that ask you to accept a licence, set HF_TOKEN to your token."""
_MODELS = """List the models that are here (name, size, kind of weights, context), and those that
can be fetched by name."""


def add(add: Add) -> None:
    pull = add("pull", _pull, "fetch a model", _PULL, "tertulia pull Qwen/Qwen2.5-Coder-0.5B-Instruct")
    pull.add_argument("id", metavar="ID", help="what to fetch: a name, a repository or a path")
    pull.add_argument("--as", dest="rename", metavar="NAME", help="the name that it shall have here")
    remove = add("rm", _rm, "remove a model", "Remove models from this machine, for good.", "tertulia rm smollm2")
    remove.add_argument("ids", metavar="ID", nargs="+", help="a name that `tertulia models` shows")
    add("models", _models, "list the models that are here, and more", _MODELS, "tertulia models")


def _pull(args: argparse.Namespace) -> None:
    from tertulia.catalog.progress import size

    store = start.store(start.settings(args))
    model = store.pull(args.id, rename=args.rename, progress=start.progress())
    print(f"{model.id} is here: {size(model.bytes)}, {model.quantization}, {model.folder}")


def _rm(args: argparse.Namespace) -> None:
    store = start.store(start.settings(args))
    for name in args.ids:
        print(f"{store.remove(name)} is removed")


def _models(args: argparse.Namespace) -> None:
    from tertulia.catalog import catalog
    from tertulia.catalog.progress import size

    installed = start.store(start.settings(args)).list()
    width = max((len(model.id) for model in installed), default=0)
    for model in installed:
        print(
            f"{model.id:{width}}  {size(model.bytes):>7}  {model.quantization:<7} context {model.context or 'unknown'}"
        )
    here = {model.id for model in installed}
    others = [row for row in catalog.rows() if row.id not in here]
    if not installed:
        print("No model is here yet.")
    if others:
        print(
            "\nTo be had with `tertulia pull ID`, as any repository of the Hugging Face Hub with safetensors or GGUF:"
        )
    for row in others:
        print(f"{row.id}\n    {row.description}")
