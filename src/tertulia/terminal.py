"""A conversation in a terminal, with whatever answers chats. It reads and writes through callables that it is given."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import msgspec

from tertulia.errors import TertuliaError
from tertulia.types import Backend, ChatRequest, Message

HELP = (
    "/system TEXT sets the instructions, /reset forgets what was said, /exit (or Ctrl-D) leaves, Ctrl-C stops an answer"
)


class Party(Backend, Protocol):
    """Whom one talks to: a backend that is closed when the talk is over."""

    async def aclose(self) -> None: ...


class Conversation:
    """What was said so far, and what it is said with. ``request`` carries the settings; its messages are set here.
    What a model thinks aloud goes to ``aside``."""

    def __init__(
        self,
        backend: Backend,
        request: ChatRequest,
        system: str,
        write: Callable[[str], None],
        aside: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.backend = backend
        self.request = request
        self.write = write
        self.aside = aside
        self.system = system
        self.turns: list[Message] = []

    async def ask(self, text: str) -> None:
        """Write the answer to ``text`` as it comes. What was said stays said, also where the answer was stopped; a
        question that nothing answered is forgotten."""
        question = Message(role="user", content=text)
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
        """Do what a line that begins with a slash says. False means: leave."""
        command, _, rest = line.partition(" ")
        match command:
            case "/exit" | "/quit" | "/bye":
                return False
            case "/reset":
                self.turns.clear()
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
        if line.startswith("/"):
            if not conversation.obey(line):
                return
        elif line:
            try:
                runner.run(conversation.ask(line))
            except KeyboardInterrupt:
                write("\n")
            except TertuliaError as error:
                write(f"{error.message}\n")
