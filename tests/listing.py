"""A site on loopback that lists models, as providers and the Hub do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """Answers by path, with headers; ``asked`` are the paths and the keys that were shown."""

    url: str = ""
    answers: dict[str, tuple[int, Any, dict[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def site() -> Iterator[Site]:
    there = Site()

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there.asked.append((self.path, self.headers.get("Authorization", "")))
            status, body, headers = there.answers.get(self.path.partition("?")[0], (404, {}, {}))
            if "page=2" in self.path:
                status, body, headers = there.answers["page 2"]
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    there.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def mapped(model: str, provider: str, name: str) -> dict[str, Any]:
    """A model on the Hub's list, with one provider."""
    entry = {"provider": provider, "providerId": name, "status": "live", "task": "conversational"}
    return {"id": model, "inferenceProviderMapping": [entry]}
