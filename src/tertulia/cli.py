"""The command line: parses and calls, nothing else. What a command needs is imported when it runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tertulia import __version__
from tertulia.commands import chat, models, probe, providers, run, serve, snippet, token, usage
from tertulia.commands.start import Run
from tertulia.errors import TertuliaError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 1 where it could not be done, 130 where Ctrl-C ended it."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except TertuliaError as error:
        print(f"tertulia: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has left (`tertulia models | head`); Python's own last flush must not find that out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    root = argparse.ArgumentParser(
        prog="tertulia",
        description="Chat completion for models that run on this machine, behind an OpenAI-compatible address.",
        epilog="To begin:\n  tertulia serve      fetch the default model if there is none, and answer at an address\n"
        "  tertulia chat       talk to it here in the terminal\n\n`tertulia COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"tertulia {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Run, help: str, about: str, example: str) -> argparse.ArgumentParser:
        # What has no help is not listed.
        listed: dict[str, Any] = {"help": help} if help else {}
        command = commands.add_parser(
            name,
            **listed,
            description=about,
            epilog=f"Example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--config", type=Path, metavar="FILE", help="a configuration file, not the usual one")
        command.set_defaults(run=run)
        return command

    serve.add(add)
    chat.add(add)
    run.add(add)
    snippet.add(add)
    models.add(add)
    providers.add(add)
    probe.add(add)
    token.add(add)
    usage.add(add)
    serve.add_engine(add)
    return root


if __name__ == "__main__":
    sys.exit(main())
