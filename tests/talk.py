"""How tests talk to a server: what they send, what comes back, and how they wait."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Said:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """What went wrong, however it was told: as the body, or as the last event of a stream that had begun."""
        return self.json["error"] if self.body.startswith(b"{") else self.events[-1]["error"]

    @property
    def events(self) -> list[Any]:
        """The events of a stream, which must end with the mark of its end."""
        frames = [frame for frame in self.body.split(b"\n\n") if frame and not frame.startswith(b":")]
        assert frames[-1] == b"data: [DONE]"
        assert all(frame.startswith(b"data: ") for frame in frames)
        return [json.loads(frame[6:]) for frame in frames[:-1]]

    def said(self, index: int = 0) -> str:
        """The text of one choice of a stream."""
        choices = [choice for event in self.events for choice in event["choices"] if choice["index"] == index]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


Ask = Callable[..., Awaitable[Said]]


def chat(content: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]} | fields


def post(body: Any, path: str = "/v1/chat/completions") -> bytes:
    """A request as bytes."""
    data = json.dumps(body).encode()
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data


async def until(condition: Callable[[], bool], seconds: float = 3) -> None:
    """Wait until ``condition`` holds, or fail."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
