"""A conversation in a terminal."""

import asyncio
from collections.abc import AsyncGenerator

from parrot import Parrot
from tertulia import terminal
from tertulia.types import ChatRequest, Chunk, ChunkChoice, Delta


def converse(parrot: Parrot, *lines: str | type[BaseException]) -> tuple[str, terminal.Conversation]:
    """What is written while somebody types ``lines`` and then leaves."""
    written: list[str] = []
    left = iter([*lines, EOFError])

    def read() -> str:
        line = next(left)
        if isinstance(line, str):
            return line
        raise line

    request = ChatRequest(messages=[])
    talk = terminal.Conversation(parrot, request, "", written.append)
    with asyncio.Runner() as runner:
        terminal.converse(runner, talk, read)
    return "".join(written), talk


class TestConversation:
    def test_ctrl_c_stops_the_answer_and_not_the_conversation(self) -> None:
        parrot = Parrot(lambda request: ["I was ", "CTRL-C", "?"] if len(request.messages) == 1 else ["Go on."])
        written, talk = converse(parrot, "Hello", "So?")
        assert written == "I was \n\nGo on.\n\n"
        assert [turn.content for turn in talk.turns] == ["Hello", "I was ", "So?", "Go on."]

    def test_ctrl_c_at_the_prompt_says_how_to_leave(self) -> None:
        written, _ = converse(Parrot(), KeyboardInterrupt)
        assert "/exit" in written

    def test_an_error_is_told_and_the_question_forgotten(self) -> None:
        parrot = Parrot(lambda request: ["FAIL"] if request.messages[-1].content == "bad" else ["ok"])
        written, talk = converse(parrot, "bad", "good")
        assert written == "it broke\nok\n\n"
        assert [turn.content for turn in talk.turns] == ["good", "ok"]

    def test_thoughts_are_told_aside_and_are_no_part_of_what_was_said(self) -> None:
        class Thinker(Parrot):
            async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
                for delta in (Delta(reasoning_content="hm"), Delta(reasoning_content="m"), Delta(content="Yes.")):
                    yield Chunk(id="x", created=0, model="m", choices=[ChunkChoice(0, delta)])

        written: list[str] = []
        aside: list[str] = []
        talk = terminal.Conversation(Thinker(), ChatRequest(messages=[]), "", written.append, aside.append)
        asyncio.run(talk.ask("So?"))
        assert "".join(aside) == "[thinking] hmm\n[answer]\n"
        assert "".join(written) == "Yes.\n"
        assert [turn.content for turn in talk.turns] == ["So?", "Yes."]

    def test_reset_and_system(self) -> None:
        parrot = Parrot()
        written, talk = converse(parrot, "/system Be brief.", "one", "/reset", "two", "/what")
        assert [message.content for message in parrot.asked[1].messages] == ["Be brief.", "two"]
        assert "instructions: Be brief.\n" in written
        assert terminal.HELP in written
        assert talk.system == "Be brief."
