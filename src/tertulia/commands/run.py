"""``tertulia run``: a command whose requests to Hugging Face are answered by a server of its own."""

import argparse
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add
from tertulia.errors import ConfigError, TertuliaError

if TYPE_CHECKING:
    import logging

    from tertulia.config import Config

_RUN = """Run a command, such as a program copied from a model's page, as it is. What it would ask
Hugging Face's router, or the Hub about models, is answered here, by a server that is there for
as long as the command is.

A provider that has a key in your environment answers for its models. Where nobody can be asked
a model of this machine stands in, and the answer's `model` says which. The command finds its
environment changed, and nothing else: HTTPS_PROXY, HF_ENDPOINT, NODE_OPTIONS, what certificates
are trusted, and where they are not set HF_TOKEN, OPENAI_BASE_URL and OPENAI_API_KEY. Files of
the Hub can't be had from within."""


def add(add: Add) -> None:
    example = "tertulia run -- python snippet.py"
    command = add("run", _run, "run a command whose requests to Hugging Face are answered here", _RUN, example)
    say = command.add_argument
    say(
        "--model",
        dest="engine.model",
        action="append",
        metavar="ID",
        help="the model to load here; none: providers alone",
    )
    say(
        "--stand-in",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a model of this machine answers for those that nobody can be asked for (yes)",
    )
    say("--log", type=Path, metavar="FILE", help="where the server's log goes; without it its end is shown if it fails")
    say("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command and what it is given")


def _run(args: argparse.Namespace) -> None:
    import logging
    import shutil

    from tertulia import config as configuration
    from tertulia.commands.errand import MARK, Errand

    environ = configuration.environment()
    argv: list[str] = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if address := environ.get(MARK):
        raise ConfigError(f"this is inside `tertulia run` already, whose server is {address}: leave the inner one out")
    if not argv:
        raise ConfigError("what to run is missing: tertulia run -- python snippet.py")
    if (program := shutil.which(argv[0])) is None:
        print(f"tertulia: {argv[0]}: there is no such command", file=sys.stderr)
        raise SystemExit(127)
    config = _settle(start.settings(args), args.stand_in)
    start.settle_models(config)
    held = _hold(args.log)
    errand = Errand(config, [program, *argv[1:]], environ)
    try:
        start.run(errand.work())
    except TertuliaError:
        _show(held, logging.INFO)
        raise
    _show(held, logging.WARNING)
    raise SystemExit(errand.status)


def _settle(config: "Config", stand_in: bool) -> "Config":
    """``config`` for a server that serves one command, at a free port of loopback."""
    from tertulia import intercept

    server, router = config.server, config.router
    server.host, server.port, server.open = "127.0.0.1", 0, True
    server.tokens, server.tokens_file = [], None
    server.hosts = [*server.hosts, *intercept.HOSTS]
    router.stand_in, router.probe = stand_in, False
    return config


def _hold(file: Path | None) -> "deque[logging.LogRecord]":
    """Keep the log out of the command's way: in ``file``, and its end in what is returned."""
    import logging

    from tertulia.server.lines import Form

    last: deque[logging.LogRecord] = deque(maxlen=20)

    class Held(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            last.append(record)

    handlers: list[logging.Handler] = [Held()]
    try:
        if file is not None:
            handlers.append(logging.FileHandler(file, encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--log {file}: {error.strerror or error}") from None
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    for handler in handlers:
        handler.setFormatter(Form(form))
    logging.basicConfig(level=logging.INFO, handlers=handlers)
    return last


def _show(held: "deque[logging.LogRecord]", level: int) -> None:
    lines = (f"tertulia: {one.levelname} {one.name}: {one.getMessage()}" for one in held if one.levelno >= level)
    for line in dict.fromkeys(lines):
        print(line, file=sys.stderr)
