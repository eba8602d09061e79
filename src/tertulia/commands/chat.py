"""``tertulia chat``: a conversation in the terminal."""

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from tertulia.commands import start
from tertulia.commands.start import Add
from tertulia.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tertulia.config import Config
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
    say(
        "--image",
        metavar="FILE",
        action="append",
        default=[],
        help="a picture to show with the question, a file or a URL (may be repeated)",
    )
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
    prompt = " ".join(args.prompt) or (_read() if piped else "")
    if piped and not prompt:
        raise StoreError("there is nothing to ask: give a PROMPT, or write to standard input")
    config = start.settings(args)
    pictures = [terminal.picture(place, config.images.size) for place in args.image]
    if not args.url:
        chosen = _choose(config, args.model) if pictures else args.model
        config.engine.model = [chosen] if chosen else config.engine.model[:1]
        start.settle_models(config)

    async def enter() -> terminal.Party:
        return build.remote(args.url, args.token) if args.url else await build.local(config, config.engine.model[0])

    with asyncio.Runner() as runner:
        backend = runner.run(enter())
        try:
            talk = terminal.Conversation(backend, _wishes(args), args.system, _write, _aside, config.images.size)
            talk.pictures += pictures
            if prompt:
                runner.run(talk.ask(prompt))
            else:
                _edit_lines()
                print(terminal.HELP)
                terminal.converse(runner, talk, lambda: input("> "))
        finally:
            runner.run(backend.aclose())


def _read() -> str:
    """What is piped in."""
    try:
        text = sys.stdin.read().strip()
        text.encode()  # in some locales what is no text is read as if it were
        return text
    except UnicodeError:
        raise StoreError("what is piped in is not text; --image FILE shows a picture") from None


def _choose(config: "Config", named: str | None) -> str:
    """The model that pictures are shown to: the one that is named, else one that sees, of the configured ones first and
    those that come with Tertulia last. Raises StoreError if there is none, or the one that is named doesn't."""
    from tertulia.catalog import catalog, facts

    store = start.store(config)
    ours = [] if named else start.bring(store)
    sees = [model.id for model in store.list() if model.architecture in facts.SEEING]
    sees.sort(key=ours.__contains__)
    model = store.find(named) if named else None
    if named and (model is None or model.id in sees):  # what is not here is told of later
        return named
    if model and sees:
        others = f"{', '.join(sees)} {'see' if len(sees) > 1 else 'sees'}"
        raise StoreError(f"{model.id} reads text only, not images; of those that are here {others}")
    if not sees:
        why = f"{model.id} reads text only, not images" if model else "no model here sees"
        known = next(row.id for row in catalog.rows() if row.source and "image" in row.input)
        raise StoreError(f"{why}; `tertulia pull {known}` fetches one that does")
    usual = [found.id for name in config.engine.model if (found := store.find(name))]
    return next(one for one in [*usual, *sees] if one in sees)


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
