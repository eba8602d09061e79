"""``tertulia serve``, and ``tertulia engine``, which it starts."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add

if TYPE_CHECKING:
    from tertulia.config import Config

_QUESTION = '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}'
_SERVE = """Answer chat completion requests as OpenAI's API does, until Ctrl-C.

Without --model that is the default model; it is fetched first if no model is here.
Each option is also a line of the configuration file ([server] port = 8081) and an
environment variable (TERTULIA_SERVER_PORT=8081)."""
_ENGINE = """Answer for one model at a Unix socket. The server starts this itself."""


def add(add: Add) -> None:
    _add_server(
        add("serve", _serve, "answer chats at an HTTP address", _SERVE, "tertulia serve --port 8081 --threads 4")
    )


def add_engine(add: Add) -> None:
    engine = add("engine", _engine, "", _ENGINE, "tertulia engine --socket /tmp/engine.sock --model smollm2")
    engine.add_argument("--socket", type=Path, required=True, metavar="PATH", help="the Unix socket to answer at")
    _add_engine(engine)


def _add_server(command: argparse.ArgumentParser) -> None:
    say = command.add_argument
    say("--host", dest="server.host", metavar="ADDRESS", help="the address to listen at (127.0.0.1: this machine only)")
    say("--port", dest="server.port", metavar="N", help="the port to listen at (8080)")
    say(
        "--open",
        dest="server.open",
        action="store_true",
        default=None,
        help="let everybody in who can reach the address",
    )
    say("--tokens-file", dest="server.tokens_file", metavar="FILE", help="the tokens that callers may show, one a line")
    say(
        "--cors",
        dest="server.cors",
        action="append",
        metavar="ORIGIN",
        help="let web pages of ORIGIN in (may be repeated)",
    )
    say(
        "--stand-in",
        dest="router.stand_in",
        action="store_true",
        default=None,
        help="let a model of this machine answer for models that nobody here has a key for; the answer says so",
    )
    _add_engine(command)


def _add_engine(command: argparse.ArgumentParser) -> None:
    say = command.add_argument
    say(
        "--model",
        dest="engine.model",
        action="append",
        metavar="ID",
        help="the model to load (may be repeated); none: providers alone answer",
    )
    say(
        "--context", dest="engine.context", metavar="N", help="the longest chat in tokens, if less than the model's own"
    )
    say("--threads", dest="engine.threads", metavar="N", help="the threads to compute with (all cores)")
    say("--kv", dest="engine.kv", metavar="SIZE", help="memory for the chats of a model, shared by all of them (1G)")
    say(
        "--seen",
        dest="images.seen",
        metavar="SIZE",
        help="memory for what was seen in pictures, kept for later questions about them (64M)",
    )
    say("--batch", dest="engine.batch", metavar="N", help="the most chats that are answered at once (64)")
    say("--queue", dest="engine.queue", metavar="N", help="the most chats that wait for their turn (256)")
    say("--weights", dest="engine.weights", metavar="KIND", help="how safetensors are loaded (int8)")
    say(
        "--exact",
        dest="engine.exact",
        action="store_true",
        default=None,
        help="same answers to the last bit in whatever company, and under memory pressure",
    )
    say(
        "--fold-messages",
        dest="engine.fold_messages",
        metavar="BOOL",
        help="whether messages that the model's template refuses are folded and merged until it takes them (true)",
    )
    say(
        "--formats",
        dest="engine.formats",
        action="append",
        metavar="ID=FORMAT",
        help="how a model writes calls, where its template doesn't show it (may be repeated)",
    )


def _serve(args: argparse.Namespace) -> None:
    from tertulia import build

    config = start.settings(args)
    start.settle_models(config)
    start.log("%(asctime)s %(levelname)s %(name)s: %(message)s")
    start.run(build.serve(config, lambda address: _announce(address, config)))


def _engine(args: argparse.Namespace) -> None:
    import logging

    from tertulia import build

    start.log("%(levelname)s: %(message)s")  # the server's log, where it goes, has the time
    logging.getLogger("tertulia.access").setLevel(logging.WARNING)
    start.run(build.engine(start.settings(args), args.socket))


def _announce(address: str, config: "Config") -> None:
    models = config.engine.model
    who = f" with {', '.join(models)}" if models else ", from providers alone"
    question = _QUESTION if models else _QUESTION.replace("{", '{"model": "ORG/NAME", ', 1)
    token = " -H 'Authorization: Bearer TOKEN'" if config.server.tokens or config.server.tokens_file else ""
    key = "TOKEN" if token else "none"
    print(
        f"Tertulia answers at {address}/v1{who}\n\nTry it:\n"
        f"  curl {address}/v1/chat/completions -H 'Content-Type: application/json'{token} -d '{question}'\n"
        f"  {address}    in a browser: the playground, models, docs\n"
        f'  OpenAI(base_url="{address}/v1", api_key="{key}")    in Python, with the openai package\n'
        f"  {_own_name()} chat --url {address}/v1{' --token TOKEN' if token else ''}\n\nCtrl-C stops it.",
        flush=True,
    )


def _own_name() -> str:
    """What to type for this command: its name where the shell finds it, else the path it was called by."""
    import shutil

    called = sys.argv[0]
    return "tertulia" if shutil.which("tertulia") or Path(called).name != "tertulia" else called
