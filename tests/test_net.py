"""The door to the network: what goes wrong out there has our names in here."""

import asyncio
import gzip
import socket
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tertulia.errors import ConfigError, Forbidden, Timeout, TooLarge, Upstream
from tertulia.net import MEBI, Net, Packed, is_public
from upstream import Script
from upstream import Upstream as Provider

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.fixture
async def net() -> AsyncGenerator[Net, None]:
    async with Net(connect_timeout=0.5) as net:
        yield net


class Far:
    """The other side: answers each connection with a script, and remembers what it was sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.gone = asyncio.Event()

    async def open(self, answer: Serve, path: Path | None = None) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await answer(reader, writer)
            except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                pass  # we hung up, or the test is over
            finally:
                self.gone.set()
                writer.close()

        if path is not None:
            self.server = await asyncio.start_unix_server(serve, path)
            return f"unix:{path}"
        self.server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def far() -> AsyncGenerator[Far, None]:
    far = Far()
    yield far
    far.server.close()


def says(*pieces: bytes | float) -> Serve:
    """Write the pieces; a number is a pause."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)

    return answer


async def test_a_request_goes_there_and_its_answer_comes_back(net: Net, far: Far):
    address = await far.open(says(HEAD + b"Content-Length: 5\r\n\r\nhello"))
    reply = await net.send("POST", address + "/base", "/path", b"body", {"x-one": "1"})
    assert (reply.status, reply.headers["content-type"], await reply.read()) == (200, "text/plain", b"hello")
    head = far.heads[0].lower()
    assert head.startswith(b"post /base/path http/1.1") and b"x-one: 1" in head and b"content-length: 4" in head
    assert b"user-agent" not in head and b"accept-encoding" not in head


async def test_a_body_of_megabytes_arrives_whole(net: Net):
    body = b'{"picture": "' + b"x" * (5 * MEBI) + b'"}'
    async with Provider(Script((b"fine",), framing="length")) as provider:
        reply = await net.send("POST", provider.address, "/", body)
        assert await reply.read() == b"fine"
        assert provider.requests[0].body == body


async def test_a_unix_socket_is_an_address_too(net: Net, far: Far, tmp_path: Path):
    address = await far.open(says(HEAD + b"Content-Length: 2\r\n\r\nhi"), tmp_path / "socket")
    assert await (await net.send("GET", address, "/")).read() == b"hi"


async def test_a_connection_is_used_again_when_its_answer_was_read(net: Net, far: Far):
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 1\r\n\r\n1")
        far.heads.append(b"again " + await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"Content-Length: 1\r\n\r\n2")

    address = await far.open(twice)
    assert [await (await net.send("GET", address, "/")).read() for _ in range(2)] == [b"1", b"2"]
    assert far.heads[1].startswith(b"again ")


async def test_a_reply_that_is_closed_half_read_hangs_up(net: Net, far: Far):
    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await reader.readexactly(1)

    reply = await net.send("GET", await far.open(stream), "/")
    assert await reply.piece() == b"a"
    reply.close()
    async with asyncio.timeout(1):
        await far.gone.wait()


async def test_nagles_algorithm_is_off(net: Net, far: Far, monkeypatch: pytest.MonkeyPatch):
    options: list[tuple[int, ...]] = []
    real = socket.socket.setsockopt

    def spy(self: socket.socket, *args: int) -> None:
        options.append(args)
        real(self, *args)

    monkeypatch.setattr(socket.socket, "setsockopt", spy)
    address = await far.open(says(HEAD + b"Content-Length: 0\r\n\r\n"))
    await (await net.send("GET", address, "/")).read()
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (says(), Upstream, "cut the connection"),
        (says(b"\x00\x01\x02 garbage\r\n\r\n"), Upstream, "not HTTP"),
        (says(HEAD + b"Content-Length: 50\r\n\r\nhalf"), Upstream, "cut the connection before its answer was whole"),
        (says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"), Upstream, "cut the connection"),
        (says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), Upstream, "not HTTP"),
        (says(1.0), Timeout, "was silent for too long"),
        (says(HEAD + b"Content-Length: 50\r\n\r\nhalf", 1.0), Timeout, "was silent for too long"),
    ],
    ids=["nothing", "garbage", "half", "half chunk", "bad chunk", "silence", "silence inside"],
)
async def test_what_goes_wrong_is_told_with_the_address(
    net: Net, far: Far, answer: Serve, kind: type[Upstream], message: str
):
    address = await far.open(answer)
    with pytest.raises(kind, match=message) as caught:
        reply = await net.send("GET", address, "/", silence=0.2)
        await reply.read()
    assert type(caught.value) is kind
    assert address in caught.value.message


async def test_nobody_there_is_told(net: Net, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(Upstream, match="can't be reached: Connection refused"):
        await net.send("GET", address, "/")
    with pytest.raises(Upstream, match="can't be reached: No such file"):
        await net.send("GET", f"unix:{tmp_path}/none", "/")


async def test_a_side_that_accepts_nothing_is_given_up(net: Net):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        with pytest.raises(Timeout, match="took too long to accept"):
            await net.send("GET", f"http://127.0.0.1:{port}", "/", silence=5)
        assert time.monotonic() - began < 2
        for filler in fillers:
            filler.close()


async def test_the_bound_on_pauses_can_differ_from_the_bound_on_the_beginning(net: Net, far: Far):
    address = await far.open(says(0.3, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", 1.0))
    reply = await net.send("GET", address, "/", silence=2)
    reply.bound(0.2)
    assert await reply.piece() == b"a"
    began = time.monotonic()
    with pytest.raises(Timeout):
        await reply.piece()
    assert time.monotonic() - began < 0.6
    reply.close()


async def test_an_answer_without_end_is_not_read_without_end(net: Net, far: Far):
    address = await far.open(says(HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000))
    with pytest.raises(TooLarge):
        await (await net.send("GET", address, "/")).read(limit=1000)


async def test_a_redirect_is_not_followed(net: Net, far: Far):
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    assert (await net.send("GET", await far.open(says(moved)), "/")).status == 302


async def test_an_address_that_is_none_says_what_would_be(net: Net):
    for address in ("localhost:80", "ftp://x", "http://", "/tmp/socket"):
        with pytest.raises(ConfigError, match=r"http://host:port, https://host or unix:/path"):
            await net.send("GET", address, "/")


# ---------------------------------------------------------------- packed answers


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


WAYS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": raw, "identity": bytes}


def unpacked(pieces: list[bytes], coding: str, most: int = MEBI) -> list[bytes]:
    packed, out = Packed(coding, most), list[bytes]()
    for piece in pieces:
        packed.add(piece)
        while data := packed.more():
            out.append(data)
    packed.end()
    return out


@given(st.binary(max_size=300), st.sampled_from(sorted(WAYS)), st.integers(1, 40), st.integers(1, 50))
def test_a_packed_answer_is_undone_however_it_is_cut(data: bytes, coding: str, step: int, most: int):
    packed = WAYS[coding](data)
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
    found = unpacked(pieces, coding, most)
    assert b"".join(found) == data
    assert coding == "identity" or all(len(piece) <= most for piece in found)


def test_parts_behind_one_another_are_undone_and_padding_is_not():
    assert b"".join(unpacked([gzip.compress(b"a") + gzip.compress(b"b") + b"\0\0"], "gzip")) == b"ab"


@pytest.mark.parametrize(
    ("data", "coding"),
    [(gzip.compress(b"a" * 99)[:-9], "gzip"), (b"no gzip", "gzip"), (b"\x07\x07\x07", "deflate"), (b"x", "br")],
)
def test_what_cant_be_undone_is_an_error(data: bytes, coding: str):
    with pytest.raises(zlib.error):
        unpacked([data], coding)


async def test_events_come_out_of_a_packed_stream_as_they_are_sent(net: Net):
    for coding in ("gzip", "deflate", "raw"):
        async with Provider(Script((b"one", 0.2, b"two"), coding=coding)) as up:
            reply = await net.send("GET", up.address, "/")
            began = time.monotonic()
            assert await reply.piece() == b"one"
            assert time.monotonic() - began < 0.15
            assert [await reply.piece(), await reply.piece()] == [b"two", b""]


async def test_a_small_answer_that_unpacks_to_gigabytes_is_not_unpacked(net: Net, far: Far):
    bomb = gzip.compress(bytes(64 * MEBI), 9)
    address = await far.open(says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb))
    reply = await net.send("GET", address, "/")
    assert len(await reply.piece()) == MEBI
    with pytest.raises(TooLarge):
        await reply.read(limit=4 * MEBI)


async def test_a_packed_answer_that_is_cut_or_garbage_is_told_with_the_address(net: Net, far: Far):
    packed = gzip.compress(b"a" * 99)
    for data in (packed[:-9], b"garbage"):
        address = await far.open(
            says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        )
        with pytest.raises(Upstream, match="packed its answer in a way that can't be undone") as caught:
            await (await net.send("GET", address, "/")).read()
        assert address in caught.value.message
        far.server.close()


async def test_an_end_that_is_near_is_waited_for_and_the_connection_used_again(net: Net):
    async with Provider(Script((b"one", 0.02)), Script((b"one", 0.5))) as up:
        for connections in (1, 1, 2):
            reply = await net.send("GET", up.address, "/")
            assert await reply.piece() == b"one"
            await reply.rest(0.1)
            reply.close()
            assert up.connections == connections


# ---------------------------------------------------------------- what somebody else's URL names

PUBLIC = (
    "1.1.1.1",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.0.1",
    "223.255.255.255",
    "2606:4700::1111",
)
INWARD = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("168.63.129.16", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:1.1.1.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::101:101", "64:ff9b:1::1", "100::1", "2001::1", "2001:20::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:101:101::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1"),
    *("ff02::1", "fe80::1%lo", "2606:4700::1111%lo", "", "localhost", "127.1", "0177.0.0.1", "2130706433"),
)


def test_an_address_is_public_or_it_is_not():
    assert [address for address in PUBLIC if not is_public(address)] == []
    assert [address for address in INWARD if is_public(address)] == []


@given(st.ip_addresses(v=4))
def test_no_wrapping_makes_an_address_public(address: object):
    assert not is_public(f"::ffff:{address}") and not is_public(f"64:ff9b::{address}") and not is_public(f"::{address}")


async def test_what_is_fetched_for_others_is_dialled_outside_only(net: Net, far: Far):
    address = await far.open(says(HEAD + b"Content-Length: 2\r\n\r\nhi"))
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        with pytest.raises(Forbidden, match="is not a public address"):
            await net.fetch(URL(address).with_host(host.strip("[]")), {}, inward=False, proxy="", silence=1)
    assert far.heads == []
    reply = await net.fetch(URL(address), {"User-Agent": "x"}, inward=True, proxy="", silence=1)
    assert await reply.read() == b"hi" and far.heads[0].startswith(b"GET / HTTP/1.1\r\n")


async def test_a_proxy_dials_for_us_but_never_an_inward_literal(net: Net, far: Far):
    proxy = await far.open(says(HEAD + b"Content-Length: 2\r\n\r\nhi"))
    with pytest.raises(Forbidden):
        await net.fetch(URL("http://10.0.0.1/"), {}, inward=False, proxy=proxy, silence=1)
    assert far.heads == []
    reply = await net.fetch(URL("http://pictures.example/a"), {}, inward=False, proxy=proxy, silence=1)
    assert await reply.read() == b"hi" and far.heads[0].startswith(b"GET http://pictures.example/a HTTP/1.1\r\n")


async def test_this_machines_own_public_address_is_inward_too(net: Net, far: Far, monkeypatch: pytest.MonkeyPatch):
    address = await far.open(says(HEAD))
    monkeypatch.setattr(
        "tertulia.net.is_public", lambda address: True
    )  # as if 127.0.0.1 were this machine's public one
    with pytest.raises(Forbidden):
        await net.fetch(URL(address), {}, inward=False, proxy="", silence=1)
    assert far.heads == []


async def test_a_certificate_or_banner_that_is_wrong_is_told_without_its_content(net: Net, far: Far):
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(secure)

    async def nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nobody, "127.0.0.1", 0, ssl=secure) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Upstream, match=r"has no certificate that is trusted here$"):
            await net.send("GET", f"https://localhost:{port}", "/")
    plain = await far.open(says(b"SSH-2.0-secret\r\n\r\n"))
    with pytest.raises(Upstream, match="not HTTP") as caught:
        await net.send("GET", plain, "/")
    assert "secret" not in caught.value.message and "\n" not in caught.value.message
