"""``tertulia snippet``: a request as code."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tertulia.commands import start
from tertulia.commands.start import Add
from tertulia.errors import ConfigError

if TYPE_CHECKING:
    from tertulia.config import Server

_SNIPPET = """Print code that asks a model at this server's address, ready to run: by default for
Python's openai client. The token is read from HF_TOKEN where the code runs.

Clients are, for python: openai, huggingface_hub, requests; for javascript: openai,
huggingface, fetch; for shell: curl. With --base-url '' the code asks Hugging Face."""
_PROMPT = "What is the capital of France?"


def add(add: Add) -> None:
    say = add(
        "snippet",
        _snippet,
        "print code that asks a model",
        _SNIPPET,
        'tertulia snippet --language javascript --stream --prompt "Write a haiku about trams."',
    ).add_argument
    say("model", metavar="MODEL", nargs="?", default="", help="the model to ask (the default one)")
    say("--prompt", metavar="TEXT", help=f"what to ask ({_PROMPT!r})")
    say("--system", metavar="TEXT", help="instructions that the model is given first")
    say("--language", metavar="L", default="", help="python, javascript or shell")
    say("--client", metavar="C", default="", help="the client, by its name in the language")
    say("--provider", metavar="P", default="", help="who is to answer, or a policy: fastest, cheapest, preferred")
    say("--stream", action="store_true", help="print the answer as it comes")
    say("--request", metavar="FILE", help="a request to print instead, a chat's body as JSON; - reads standard input")
    say("--base-url", metavar="URL", help="the address to ask (the configured server's)")
    say("--bill-to", metavar="ORG", default="", help="the organisation that pays, at Hugging Face")


def _snippet(args: argparse.Namespace) -> None:
    from tertulia.snippets.ask import Settings
    from tertulia.snippets.snippets import render

    server = start.settings(args).server
    request = _request(args)
    if args.base_url == "":
        request["model"] = _theirs(request.get("model"))
    closed = bool(server.tokens or server.tokens_file)
    settings = Settings(
        base_url=_address(server) if args.base_url is None else args.base_url,
        bill_to=args.bill_to,
        fallback="" if closed else "none",
    )
    print(render(request, args.language, args.client, args.provider, settings), end="")


def _request(args: argparse.Namespace) -> dict[str, Any]:
    if args.request is None:
        system = [{"role": "system", "content": args.system}] if args.system else []
        prompt = _PROMPT if args.prompt is None else args.prompt
        request = {"model": args.model or "default", "messages": [*system, {"role": "user", "content": prompt}]}
    elif args.prompt is not None or args.system is not None:
        raise ConfigError("--request holds the messages: --prompt and --system can't be said beside it")
    else:
        request = _read(args.request) | ({"model": args.model} if args.model else {})
    return request | ({"stream": True} if args.stream else {})


def _theirs(model: Any) -> Any:
    """A model by its name at Hugging Face, where this server's short names are not known."""
    from tertulia.catalog import catalog

    if model in (None, "", "default"):
        raise ConfigError("Hugging Face has no default model: name the one to ask, as in Qwen/Qwen2.5-7B-Instruct")
    row = catalog.find(model) if isinstance(model, str) else None
    return row.id if row else model


def _read(name: str) -> dict[str, Any]:
    from tertulia.wires.openai import read_object

    try:
        body = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"--request {name}: {error.strerror or error}") from None
    return read_object(body)


def _address(server: "Server") -> str:
    """Where the configured server is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}/v1"
