"""The command line: parses and calls, nothing else. What a command needs is imported when it runs."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tertulia import __version__
from tertulia.errors import ConfigError, StoreError, TertuliaError

if TYPE_CHECKING:
    from tertulia.catalog.progress import Progress
    from tertulia.catalog.store import Store
    from tertulia.config import Config
    from tertulia.types import ChatRequest

_QUESTION = '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}'

_SERVE = """Answer chat completion requests as OpenAI's API does, until Ctrl-C.

Without --model that is the default model; it is fetched first if no model is here.
Each option is also a line of the configuration file ([server] port = 8081) and an
environment variable (TERTULIA_SERVER_PORT=8081)."""
_CHAT = """Talk to a model: one on this machine, or any at an OpenAI-compatible address (--url).

With a PROMPT, or with something piped in, the answer is written and that is all.
Otherwise you take turns; /help tells what else can be said."""
_PULL = """Fetch a model, check it, and keep it here. A pull that was cut off goes on where it was.

ID is one of
  a name that `tertulia models` shows       smollm2
  a repository of the Hugging Face Hub      OWNER/NAME
  one GGUF file of a repository             OWNER/NAME:Q8_0 or OWNER/NAME/FILE.gguf
  a GGUF file or a folder of yours          ./models/mine.gguf

For repositories that ask you to accept a licence, set HF_TOKEN to your token."""
_MODELS = """List the models that are here (name, size, kind of weights, context), and those that
can be fetched by name."""
_ENGINE = """Answer for one model at a Unix socket. The server starts this itself."""
_Command = Callable[[argparse.Namespace], None]


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


# ---------------------------------------------------------------- what there is to say


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

    def add(name: str, run: _Command, help: str, about: str, example: str) -> argparse.ArgumentParser:
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

    _add_server(
        add("serve", _serve, "answer chats at an HTTP address", _SERVE, "tertulia serve --port 8081 --threads 4")
    )
    _add_chat(
        add("chat", _chat, "talk to a model in the terminal", _CHAT, 'tertulia chat "Write a haiku about trams."')
    )
    pull = add("pull", _pull, "fetch a model", _PULL, "tertulia pull Qwen/Qwen2.5-Coder-0.5B-Instruct")
    pull.add_argument("id", metavar="ID", help="what to fetch: a name, a repository or a path")
    pull.add_argument("--as", dest="rename", metavar="NAME", help="the name that it shall have here")
    remove = add("rm", _rm, "remove a model", "Remove models from this machine, for good.", "tertulia rm smollm2")
    remove.add_argument("ids", metavar="ID", nargs="+", help="a name that `tertulia models` shows")
    add("models", _models, "list the models that are here, and more", _MODELS, "tertulia models")
    engine = add("engine", _engine, "", _ENGINE, "tertulia engine --socket /tmp/engine.sock --model smollm2")
    engine.add_argument("--socket", type=Path, required=True, metavar="PATH", help="the Unix socket to answer at")
    _add_engine(engine)
    return root


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
    _add_engine(command)


def _add_engine(command: argparse.ArgumentParser) -> None:
    say = command.add_argument
    say("--model", dest="engine.model", action="append", metavar="ID", help="the model to load (may be repeated)")
    say(
        "--context", dest="engine.context", metavar="N", help="the longest chat in tokens, if less than the model's own"
    )
    say("--threads", dest="engine.threads", metavar="N", help="the threads to compute with (all cores)")
    say("--kv", dest="engine.kv", metavar="SIZE", help="memory for the chats of a model, shared by all of them (1G)")
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


def _add_chat(command: argparse.ArgumentParser) -> None:
    say = command.add_argument
    say("prompt", metavar="PROMPT", nargs="*", help="ask this and leave; without it, or from a pipe, read what to ask")
    say("--url", metavar="URL", help="an OpenAI-compatible address (http://127.0.0.1:8080/v1) instead of a model here")
    say("--token", metavar="TOKEN", default="", help="the token for --url, if it wants one")
    say("--model", metavar="ID", help="the model to talk to")
    say("--system", metavar="TEXT", default="", help="instructions that the model is given first")
    say("--temperature", type=float, metavar="T", help="0 always takes the likeliest word, up to 2 takes more chances")
    say("--top-p", type=float, metavar="P", help="leave out the unlikely words beyond this share")
    say("--max-tokens", type=int, metavar="N", help="the longest answer in tokens")
    say("--seed", type=int, metavar="N", help="the same seed gives the same answer")
    say(
        "--reasoning-effort",
        metavar="EFFORT",
        help="how long a model that thinks aloud may: none, minimal, low, medium, high, xhigh",
    )


# ---------------------------------------------------------------- what there is to do


def _serve(args: argparse.Namespace) -> None:
    from tertulia import build

    config = _config(args)
    _settle_models(config)
    _log("%(asctime)s %(levelname)s %(name)s: %(message)s")
    _run(build.serve(config, lambda address: _announce(address, config)))


def _engine(args: argparse.Namespace) -> None:
    import logging

    from tertulia import build

    _log("%(levelname)s: %(message)s")  # the server's log, where it goes, has the time
    logging.getLogger("tertulia.access").setLevel(logging.WARNING)
    _run(build.engine(_config(args), args.socket))


def _pull(args: argparse.Namespace) -> None:
    from tertulia.catalog.progress import size

    store = _store(_config(args))
    model = store.pull(args.id, rename=args.rename, progress=_progress())
    print(f"{model.id} is here: {size(model.bytes)}, {model.quantization}, {model.folder}")


def _rm(args: argparse.Namespace) -> None:
    store = _store(_config(args))
    for name in args.ids:
        print(f"{store.remove(name)} is removed")


def _models(args: argparse.Namespace) -> None:
    from tertulia.catalog import catalog
    from tertulia.catalog.progress import size

    installed = _store(_config(args)).list()
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


def _chat(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia import build, terminal

    piped = not sys.stdin.isatty()
    prompt = " ".join(args.prompt) or (sys.stdin.read().strip() if piped else "")
    if piped and not prompt:
        raise StoreError("there is nothing to ask: give a PROMPT, or write to standard input")
    config = _config(args)
    if not args.url:
        config.engine.model = [args.model] if args.model else config.engine.model[:1]
        _settle_models(config)

    async def enter() -> terminal.Party:
        return build.remote(args.url, args.token) if args.url else await build.local(config, config.engine.model[0])

    with asyncio.Runner() as runner:
        backend = runner.run(enter())
        try:
            talk = terminal.Conversation(backend, _settings(args), args.system, _write, _aside)
            if prompt:
                runner.run(talk.ask(prompt))
            else:
                _edit_lines()
                print(terminal.HELP)
                terminal.converse(runner, talk, lambda: input("> "))
        finally:
            runner.run(backend.aclose())


# ---------------------------------------------------------------- what several of them need


def _config(args: argparse.Namespace) -> "Config":
    from tertulia import config

    return config.load(args.config, {name: value for name, value in vars(args).items() if "." in name})


def _store(config: "Config") -> "Store":
    from tertulia.catalog.store import Store

    return Store(config.store.path, config.store.hub, config.store.hub_token)


def _progress() -> "Progress":
    from tertulia.catalog.progress import Progress

    return Progress(lambda line: print(line, file=sys.stderr), bars=True)


def _settle_models(config: "Config") -> None:
    """Set ``config.engine.model`` to ids that are installed. Where none is named it is the default model, which is
    fetched if nothing else is here; any other that is missing is an error that says how to fetch it."""
    from tertulia.catalog import catalog

    store, default = _store(config), catalog.default()
    names = config.engine.model
    if not names:
        installed = [model.id for model in store.list()]
        names = [default.id] if default.id in installed or not installed else installed[:1]
    config.engine.model = [_settle_model(store, name) for name in names]


def _settle_model(store: "Store", name: str) -> str:
    from tertulia.catalog import catalog

    default = catalog.default()
    if model := store.find(name):
        return model.id
    if catalog.find(name) is default:
        print(f"Fetching {default.id}, the model to begin with.", file=sys.stderr)
        return store.pull(default.id, progress=_progress()).id
    installed = [model.id for model in store.list()]
    near = catalog.nearest(name, installed)
    if catalog.find(name) or "/" in name or near is None:
        raise StoreError(f"{name} is not installed; `tertulia pull {name}` fetches it")
    raise StoreError(f"no model is called {name!r}; did you mean {near}?")


def _log(form: str) -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)


def _run(work: Coroutine[Any, Any, None]) -> None:
    import asyncio

    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    # A second signal, or one to us and to our parent, ends the work at once: nothing to tell.
    with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


def _announce(address: str, config: "Config") -> None:
    token = " -H 'Authorization: Bearer TOKEN'" if config.server.tokens or config.server.tokens_file else ""
    key = "TOKEN" if token else "none"
    print(
        f"Tertulia answers at {address}/v1 with {', '.join(config.engine.model)}\n\nTry it:\n"
        f"  curl {address}/v1/chat/completions -H 'Content-Type: application/json'{token} -d '{_QUESTION}'\n"
        f'  OpenAI(base_url="{address}/v1", api_key="{key}")    in Python, with the openai package\n'
        f"  {_own_name()} chat --url {address}/v1{' --token TOKEN' if token else ''}\n\nCtrl-C stops it.",
        flush=True,
    )


def _own_name() -> str:
    """What to type for this command: its name where the shell finds it, else the path it was called by."""
    import shutil

    called = sys.argv[0]
    return "tertulia" if shutil.which("tertulia") or Path(called).name != "tertulia" else called


def _settings(args: argparse.Namespace) -> "ChatRequest":
    import msgspec

    from tertulia.types import ChatRequest

    names = ("model", "temperature", "top_p", "max_tokens", "seed", "reasoning_effort")
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        return msgspec.convert({"messages": [{"role": "user", "content": ""}], **said}, ChatRequest)
    except msgspec.ValidationError as error:
        raise ConfigError(f"that can't be asked for: {error}") from None


def _edit_lines() -> None:
    """Let arrow keys and history work at the prompt, where the platform has them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]


def _write(text: str) -> None:
    print(text, end="", flush=True)


def _aside(text: str) -> None:
    print(text, end="", flush=True, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
