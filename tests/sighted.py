"""A store with two tiny models, one that sees and one that doesn't, and what is asked of them through a server."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import seeing
import tiny
from asking import WORDS
from tertulia.catalog import manifest
from tertulia.catalog.manifest import File

SEES, BLIND = "tiny/smolvlm", "tiny/smollm2"


def install(store: Path) -> Path:
    """Put both into ``store``, a new folder of models."""
    for name, write in ((SEES, seeing.write), (BLIND, tiny.write)):
        folder = store / name.replace("/", "--")
        write(name.rpartition("/")[2], folder)
        files = tuple(File(path.name, "0" * 64, path.stat().st_size) for path in sorted(folder.iterdir()))
        manifest.write(folder, name, "a test", files)
    return store


def shown(*urls: str, question: str = "what is it for?") -> list[Any]:
    """Messages with a question, and behind it pictures."""
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": question}, *parts]}]


def talking(**fields: Any) -> dict[str, Any]:
    """The other fields of a request to the model that sees, which goes on talking."""
    return {"model": SEES, "max_tokens": 8, "temperature": 0, "logit_bias": WORDS} | fields


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def site(folder: Path) -> Generator[str]:
    """A web server on loopback over a folder; gives its address, by name."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
