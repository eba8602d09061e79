"""A small Hub on loopback, for pulls: the parts of huggingface.co's API that a pull uses, and ways to go wrong.

with hub.serve() as there:
    there.repos["org/model"] = Repo({"config.json": b"{}", "model.safetensors": weights})
    Store(path, there.url).pull("org/model")
"""

import hashlib
import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".gguf")


@dataclass
class Repo:
    """Files by path; those with weights are LFS files. ``token`` closes it to whoever doesn't show it. ``lies`` gives
    files another hash than they have."""

    files: dict[str, bytes]
    token: str = ""
    lies: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request for a file: what was asked and how much was sent."""

    method: str
    file: str
    range: str
    sent: int = 0


@dataclass
class Hub:
    """``cut`` ends connections after so many bytes of a file, one after another; ``hold`` falls silent there, until
    ``released``."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    cut: dict[str, list[int]] = field(default_factory=dict)
    hold: dict[str, int] = field(default_factory=dict)
    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    listings: int = 0

    def of(self, file: str) -> list[Asked]:
        """The downloads of ``file``, in order."""
        return [one for one in self.asked if one.file == file and one.method == "GET"]


@contextmanager
def serve() -> Iterator[Hub]:
    """Serve a Hub until the block is left."""
    there = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Desk", (_Desk,), {"there": there}))
    server.daemon_threads = True
    there.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield there
    finally:
        there.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


# ---------------------------------------------------------------- what is in a repository


def noise(length: int) -> bytes:
    """Bytes that don't repeat, the same each time."""
    return random.Random(length).randbytes(length)


def tensors(**more: bytes) -> dict[str, bytes]:
    """The files of a repository with safetensors; only their names and hashes matter here."""
    config = {"model_type": "llama", "torch_dtype": "bfloat16", "max_position_embeddings": 2048}
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
        "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
        "model.safetensors": noise(5000),
    } | more


def write_gguf(path: Path, file_type: int = 7) -> bytes:
    """Write a GGUF file that has one tensor, and return its bytes."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_file_type(file_type)
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "b"])
    writer.add_tensor("token_embd.weight", np.arange(64, dtype=np.float32).reshape(2, 32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


# ---------------------------------------------------------------- the server


class _Desk(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    there: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(?:revision|tree)/[^/]+)?", path):
            self.list(match[1], tree="/tree/" in path)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self.resolve(match[1], match[2])
        else:
            self.refuse(404, "EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def list(self, name: str, tree: bool) -> None:
        self.there.listings += 1
        if (repo := self.there.repos.get(name)) is None:
            self.refuse(404, "RepoNotFound")
            return
        entries = [self.entry(path, content, repo, tree) for path, content in repo.files.items()]
        listing = entries if tree else {"id": name, "sha": COMMIT, "gated": bool(repo.token), "siblings": entries}
        self.answer(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

    def entry(self, path: str, content: bytes, repo: Repo, tree: bool) -> dict[str, object]:
        lfs = path.endswith(LARGE)
        oid = repo.lies.get(path) or (_sha256 if lfs else _git)(content)
        large = {"lfs": {"sha256": oid, "oid": oid, "size": len(content), "pointerSize": 134}} if lfs else {}
        named = {"type": "file", "path": path, "oid": oid} if tree else {"rfilename": path, "blobId": oid}
        return named | {"size": len(content)} | large

    def resolve(self, name: str, path: str) -> None:
        repo = self.there.repos.get(name)
        if repo is None or path not in repo.files:
            self.refuse(404, "RepoNotFound" if repo is None else "EntryNotFound")
            return
        shown = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repo.token and shown != repo.token:
            self.refuse(403 if shown else 401, "GatedRepo")
            return
        content = repo.files[path]
        asked = Asked(self.command, path, self.headers.get("Range") or "")
        self.there.asked.append(asked)
        etag = repo.lies.get(path) or (_sha256 if path.endswith(LARGE) else _git)(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", asked.range)) else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(206 if start else 200, content[start:], headers, asked)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": "no"})

    def answer(self, status: int, body: bytes, headers: dict[str, str], asked: Asked | None = None) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = next(iter(self.there.cut.get(asked.file, [])), None) if asked else None
        del self.there.cut.get(asked.file if asked else "", [])[:1]
        hold = self.there.hold.pop(asked.file, None) if asked else None
        end = min(size for size in (cut, hold, len(body)) if size is not None)
        try:
            self.wfile.write(body[:end])
            if hold is not None:
                self.there.held.set()
                self.there.released.wait(30)
            if end < len(body):
                self.close_connection = True
            if asked:
                asked.sent = end
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
