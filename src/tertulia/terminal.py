"""A conversation in a terminal, with whatever answers chats. It reads and writes through callables that it is given."""

import asyncio
import base64
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import msgspec

from tertulia.engine.lean import lean
from tertulia.errors import BadRequest, TertuliaError
from tertulia.types import Backend, ChatRequest, Image, ImageUrl, Message, Text

HELP = (
    "/system TEXT sets the instructions, /image FILE shows a picture with the next question, /reset forgets what was\n"
    "said, /exit (or Ctrl-D) leaves, Ctrl-C stops an answer"
)
MOST = 20 << 20
"""Bytes of a picture's file, unless it is said otherwise."""


class Party(Backend, Protocol):
    """Whom one talks to: a backend that is closed when the talk is over."""

    async def aclose(self) -> None: ...


def picture(place: str, most: int = MOST) -> Image:
    """What ``place`` names, a URL or a file of at most ``most`` bytes, as a part of a message. Raises BadRequest for a
    file that isn't there or is no picture."""
    if place.lower().startswith(("http://", "https://", "data:")):
        return Image(ImageUrl(place))
    try:
        with Path(place).expanduser().open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise BadRequest(f"{place}: {error.strerror if isinstance(error, OSError) else error}") from None
    if len(content) > most:
        raise BadRequest(f"{place}: the file is larger than {most / 1e6:.3g} MB")
    try:
        kind = lean(content).kind.lower()
    except BadRequest as error:
        raise BadRequest(f"{place}: {error.message}") from None
    return Image(ImageUrl(f"data:image/{kind};base64,{base64.b64encode(content).decode()}"))


class Conversation:
    """What was said so far, and what it is said with. ``request`` carries the settings; its messages are set here.
    What a model thinks aloud goes to ``aside``. ``pictures``, whose files may have ``most`` bytes, go with the next
    question."""

    def __init__(
        self,
        backend: Backend,
        request: ChatRequest,
        system: str,
        write: Callable[[str], None],
        aside: Callable[[str], None] = lambda text: None,
        most: int = MOST,
    ) -> None:
        self.backend = backend
        self.request = request
        self.write = write
        self.aside = aside
        self.most = most
        self.system = system
        self.turns: list[Message] = []
        self.pictures: list[Image] = []

    async def ask(self, text: str) -> None:
        """Write the answer to ``text`` as it comes. What was said stays said, also where the answer was stopped; a
        question that nothing answered is forgotten, with its pictures."""
        shown, self.pictures = self.pictures, []
        question = Message(role="user", content=[*shown, Text(text)] if shown else text)
        system = [Message(role="system", content=self.system)] if self.system else []
        request = msgspec.structs.replace(self.request, messages=[*system, *self.turns, question], stream=True)
        said: list[str] = []
        thinks = False
        try:
            async with aclosing(self.backend.chat(request)) as chunks:
                async for chunk in chunks:
                    for choice in chunk.choices:
                        thought = choice.delta.reasoning_content or choice.delta.reasoning
                        if isinstance(thought, str):
                            self.aside(thought if thinks else f"[thinking] {thought}")
                            thinks = True
                        if isinstance(choice.delta.content, str) and choice.delta.content:
                            if thinks and not said:
                                self.aside("\n[answer]\n")
                            said.append(choice.delta.content)
                            self.write(choice.delta.content)
        finally:
            if said:
                self.turns += [question, Message(role="assistant", content="".join(said))]
                self.write("\n")

    def obey(self, line: str) -> bool:
        """Do what a line that begins with a slash says. False means: leave. Raises BadRequest for what can't be
        shown."""
        command, _, rest = line.partition(" ")
        match command:
            case "/exit" | "/quit" | "/bye":
                return False
            case "/reset":
                self.turns.clear()
                self.pictures.clear()
            case "/image" if place := rest.strip().strip("'\""):
                self.pictures.append(picture(place, self.most))
                self.write(f"{place} goes with the next question\n")
            case "/system":
                self.system = rest.strip() or self.system
                self.write(f"instructions: {self.system or 'none'}\n")
            case _:
                self.write(HELP + "\n")
        return True


def converse(runner: asyncio.Runner, conversation: Conversation, read: Callable[[], str]) -> None:
    """Take turns until the other side leaves. ``read`` gives a line, or raises EOFError.

    Lines are read outside the event loop, so that Ctrl-C reaches the loop only while there is an answer to stop.
    """
    write = conversation.write
    while True:
        try:
            line = read().strip()
        except EOFError:
            write("\n")
            return
        except KeyboardInterrupt:
            write(f"\n{HELP}\n")
            continue
        try:
            if line.startswith("/"):
                if not conversation.obey(line):
                    return
            elif line:
                runner.run(conversation.ask(line))
        except KeyboardInterrupt:
            write("\n")
        except TertuliaError as error:
            write(f"{error.message}\n")
