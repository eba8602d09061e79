"""``tertulia chat``: a conversation in the terminal."""

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add
from tertulia.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tertulia.types import ChatRequest

_CHAT = """Talk to a model: one on this machine, or any at an OpenAI-compatible address (--url).

With a PROMPT, or with something piped in, the answer is written and that is all.
Otherwise you take turns; /help tells what else can be said."""


def add(add: Add) -> None:
    _add_chat(
        add("chat", _chat, "talk to a model in the terminal", _CHAT, 'tertulia chat "Write a haiku about trams."')
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


def _chat(args: argparse.Namespace) -> None:
    import asyncio

    from tertulia import build, terminal

    piped = not sys.stdin.isatty()
    prompt = " ".join(args.prompt) or (sys.stdin.read().strip() if piped else "")
    if piped and not prompt:
        raise StoreError("there is nothing to ask: give a PROMPT, or write to standard input")
    config = start.settings(args)
    if not args.url:
        config.engine.model = [args.model] if args.model else config.engine.model[:1]
        start.settle_models(config)

    async def enter() -> terminal.Party:
        return build.remote(args.url, args.token) if args.url else await build.local(config, config.engine.model[0])

    with asyncio.Runner() as runner:
        backend = runner.run(enter())
        try:
            talk = terminal.Conversation(backend, _wishes(args), args.system, _write, _aside)
            if prompt:
                runner.run(talk.ask(prompt))
            else:
                _edit_lines()
                print(terminal.HELP)
                terminal.converse(runner, talk, lambda: input("> "))
        finally:
            runner.run(backend.aclose())


def _wishes(args: argparse.Namespace) -> "ChatRequest":
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
