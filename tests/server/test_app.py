"""Routes, and what is said about requests that can't be answered."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from echo import Echo
from talk import Ask, chat, post, until
from tertulia.config import Config
from tertulia.errors import BadRequest, SetupError
from tertulia.server.app import running
from tertulia.server.exchange import one_line
from tertulia.server.lines import MOMENT

TESTS = Path(__file__).parent.parent


async def test_health_says_whether_chats_can_be_answered(ask: Ask, backend: Echo):
    ready = await ask(path="/health")
    assert (ready.status, ready.json) == (200, {"status": "ready"})
    backend.ready = False
    loading = await ask(path="/health")
    assert (loading.status, loading.json) == (503, {"status": "loading"})


async def test_an_error_stands_in_the_body_and_in_headers(ask: Ask):
    said = await ask(chat("one", temperature=3))
    assert said.status == 400
    assert said.error == {
        "message": "temperature must be between 0 and 2, not 3",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": None,
    }
    assert said.headers["X-Error-Message"] == said.error["message"]
    assert said.headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b'{"messages": NaN}', b'{"messages":"\\ud800"}']
)
async def test_a_body_that_is_no_request_is_a_400(ask: Ask, body: bytes):
    assert (await ask(body)).status == 400
    assert (await ask(chat("still here"))).status == 200


def test_a_message_in_a_header_is_ascii_on_one_line_and_short():
    assert one_line("a\r\nb\tç\x00", 99) == "a b ??"
    assert one_line("x" * 600, 500) == "x" * 497 + "..."


async def test_an_odd_message_does_not_break_the_head(ask: Ask):
    said = await ask(chat("one", model="né\r\nX-Evil: 1"))
    assert said.status == 400 and "X-Evil" not in said.headers
    assert said.headers["X-Error-Message"].isascii()
    assert (await ask(chat("one", model="é" * 257))).error["param"] == "model"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/completions", "POST /v1/chat/completions does it here"),
        ("/v1/embeddings", "embeddings are not offered"),
        ("/v1/responses", "POST /v1/chat/completions does it here"),
        ("/v1/messages", "POST /v1/chat/completions does it here"),
        ("/api/chat", "POST /v1/chat/completions does it here"),
        ("/chat/completions", "set base_url to end with /v1"),
        ("/nowhere", "there is nothing at '/nowhere'"),
    ],
)
async def test_an_interface_that_is_not_offered_points_to_the_one_that_is(ask: Ask, path: str, hint: str):
    said = await ask({}, path)
    assert (said.status, said.error["code"]) == (404, "not_found")
    assert hint in said.error["message"]


async def test_a_wrong_method_is_told_the_right_one(ask: Ask):
    said = await ask(path="/v1/chat/completions")
    assert (said.status, said.headers["Allow"]) == (405, "POST")
    assert (await ask({}, "/v1/models")).headers["Allow"] == "GET"
    assert (await ask(path="/health", method="HEAD")).status == 200


async def test_a_body_over_the_limit_is_a_413(ask: Ask, connect: Any, config: Config):
    config.server.body_limit = 10_000
    said = await ask(chat("x" * 20_000))
    assert (said.status, said.error["code"]) == (413, "request_too_large")
    assert "10000 are allowed" in said.error["message"]
    assert (await ask(chat("x" * 9_000))).status == 200
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await connect(head)
    for _ in range(6):  # a size that is not announced is counted
        writer.write(b"800\r\n" + b"x" * 0x800 + b"\r\n")
    assert b" 413 " in await reader.readline()


async def test_who_asks_before_sending_is_told_to_send_or_not_to(connect: Any, config: Config):
    config.server.body_limit = 1000
    request = post(chat("one")).replace(b"Host:", b"Expect: 100-continue\r\nHost:")
    head, _, body = request.partition(b"\r\n\r\n")
    reader, writer = await connect(head + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert b" 200 " in await reader.readline()
    reader, _ = await connect(head.replace(b"Content-Length: ", b"Content-Length: 99") + b"\r\n\r\n")
    assert b" 413 " in await reader.readline()


async def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_the_connection(connect: Any):
    reader, _ = await connect(post(chat("one two", stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = await reader.read()
    assert b"chunked" not in answer and answer.endswith(b"data: [DONE]\n\n")


async def test_openapi_describes_the_routes_and_their_types(ask: Ask):
    document = (await ask(path="/openapi.json")).json
    assert set(document["paths"]) >= {
        "/v1/chat/completions",
        "/v1/chat/completions/input_tokens",
        "/v1/models",
        "/v1/models/{id}",
        "/{provider}/v1/chat/completions",
        "/api/models",
        "/api/models/{id}",
        "/api/snippets",
        "/api/tasks",
        "/health",
        "/metrics",
        "/openapi.json",
    }
    schemas = document["components"]["schemas"]
    assert schemas["ChatRequest"]["required"] == ["messages"]
    assert not {"extra", "warnings", "caller"} & set(schemas["ChatRequest"]["properties"])
    assert not {"raw", "meta"} & set(schemas["Chunk"]["properties"])
    pointers = [part.partition('"')[0] for part in json.dumps(document).split('"$ref": "#/components/schemas/')[1:]]
    assert pointers and set(pointers) <= set(schemas)


async def test_the_access_log_has_the_figures_and_not_the_contents(ask: Ask, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "tertulia.access")
    await ask(chat("confidential matter", stream=True), x_request_id="r7")
    await asyncio.sleep(2 * MOMENT)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tertulia.access"]
    assert line.startswith("r7 POST '/v1/chat/completions' 200 ")
    assert "tokens=2+2" in line and "first=" in line and "model=test/echo" in line
    assert "confidential" not in line


# ---------------------------------------------------------------- starting and stopping


async def test_a_busy_port_is_named_with_what_to_do(config: Config, backend: Echo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.server.port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {config.server.port} on 127.0.0.1 is in use.*--port"):
            async with running(backend, config):
                pass


async def test_an_address_of_another_machine_is_named(config: Config, backend: Echo):
    config.server.host, config.server.open = "192.0.2.1", True
    with pytest.raises(SetupError, match=r"192\.0\.2\.1 is not an address of this machine"):
        async with running(backend, config):
            pass


async def test_a_stop_gives_running_answers_time_to_end(backend: Echo, config: Config, http: aiohttp.ClientSession):
    async with running(backend, config) as url:
        quick = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=chat("one !0.15 two")))
        await until(lambda: backend.open == 1)
    assert (await quick).status == 200
    assert (await (await quick).json())["choices"][0]["message"]["content"] == "one two"


async def test_a_stop_ends_the_answers_that_take_too_long_with_an_error(
    backend: Echo, config: Config, http: aiohttp.ClientSession
):
    async with running(backend, config) as url:
        response = await http.post(f"{url}/v1/chat/completions", json=chat("one !stall", stream=True))
        whole = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=chat("one !stall")))
        await until(lambda: backend.open == 2)
        began = time.monotonic()
    assert 0.2 < time.monotonic() - began < 2
    body = await response.read()
    assert b'data: {"error":{"message":"the server is stopping' in body and body.endswith(b"data: [DONE]\n\n")
    assert (await whole).status == 502
    assert (backend.open, backend.closed) == (0, 2)


async def test_a_stop_does_not_wait_for_idle_connections(backend: Echo, config: Config):
    config.server.grace = 30
    async with running(backend, config) as url:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        await asyncio.sleep(0.02)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    writer.close()


def _served(tmp_path: Path) -> tuple[subprocess.Popen[bytes], Path]:
    path = tmp_path / "s"
    process = subprocess.Popen(
        [sys.executable, "-m", "echo", "--socket", str(path)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    deadline = time.monotonic() + 10
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process, path


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "orphan"])
def test_a_signal_or_the_end_of_the_parent_stops_the_server(tmp_path: Path, how: Any):
    process, path = _served(tmp_path)
    assert process.stdin is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(post(chat("one !stall", stream=True)))
        connection.recv(65536)
        process.stdin.close() if how == "orphan" else process.send_signal(how)
        rest = b""
        while piece := connection.recv(65536):
            rest += piece
    assert b"the server is stopping" in rest and b"[DONE]" in rest
    process.stdin.close()
    assert process.wait(5) == 0


def test_serving_does_not_load_the_engines_libraries():
    code = (
        "import sys, tertulia.server.app, tertulia.providers.child\n"
        "print([name for name in ('numpy', 'openvino', 'tokenizers', 'jinja2') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"[]"


def test_a_refusal_carries_its_retry_after_only_when_it_has_one():
    assert BadRequest("x").retry_after is None
