"""The file that a URL names: from the Internet, from hosts that were allowed by name, or from a mirror."""

import asyncio
import contextlib
import re
from pathlib import Path
from urllib.parse import unquote

from yarl import URL

from tertulia import config
from tertulia.errors import BadRequest, Forbidden, TooLarge, Upstream
from tertulia.net import Net, Reply, is_public

INSTEAD = "send the picture as a data: URL"
"""What works where a URL doesn't."""

_LONGEST = 8192
_MOVED = (301, 302, 303, 307, 308)
_HEADERS = {
    "User-Agent": "tertulia",
    "Accept": "image/png, image/jpeg, image/webp, image/gif, image/tiff, */*;q=0.1",
    "Accept-Encoding": "identity",
}
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


class Fetcher:
    """Fetches what http and https URLs name, within the bounds of ``[images]``."""

    def __init__(self, settings: config.Images, net: Net) -> None:
        self._settings = settings
        self._net = net
        self._hosts = frozenset(host.strip("[]").rstrip(".").lower() for host in settings.hosts)
        self._folders: dict[URL, Path] = {}
        self._copies: dict[URL, URL] = {}
        for prefix, place in sorted(settings.mirror.items(), key=lambda item: -len(item[0])):
            if place.lower().startswith(("http://", "https://")):
                self._copies[URL(prefix)] = URL(place)
            else:
                self._folders[URL(prefix)] = Path(place).expanduser()

    async def fetch(self, text: str) -> bytes:
        """The bytes that ``text``, a URL, names. Raises BadRequest, which says what would work."""
        url = read_url(text)
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._follow(url)
        except TimeoutError:
            raise BadRequest(
                f"{url.host} took longer than the {self._settings.timeout:g} s that a picture may take: {INSTEAD}"
            ) from None

    async def _follow(self, url: URL) -> bytes:
        for _ in range(self._settings.redirects + 1):
            for prefix, folder in self._folders.items():
                if (rest := _rest(prefix, url)) is not None:
                    return await asyncio.to_thread(read_file, folder, rest, self._settings.size)
            found = await self._ask(url)
            if isinstance(found, bytes):
                return found
            url = found
        raise BadRequest(f"more than {self._settings.redirects} redirects: name the picture's last address")

    async def _ask(self, url: URL) -> bytes | URL:
        """What one host answers, looked up and dialled anew: a file, or where it went."""
        place, inward = self._place(url)
        proxy = "" if inward else self._settings.proxy
        try:
            reply = await self._net.fetch(place, _HEADERS, inward=inward, proxy=proxy, silence=self._settings.timeout)
            try:
                return _moved(url, reply) if reply.status in _MOVED else await self._body(url, reply)
            finally:
                reply.close()
        except Forbidden as error:
            raise BadRequest(f"{error.message}: {INSTEAD}, or have its host allowed in [images]") from None
        except Upstream as error:  # where a copy lies is nobody's business
            told = error.message.replace(str(place.origin()), str(url.origin()))
            raise BadRequest(f"{told}: check the URL, or {INSTEAD}") from None

    def _place(self, url: URL) -> tuple[URL, bool]:
        """The address to ask for ``url``, and whether it may be one of our own networks. Raises BadRequest."""
        for prefix, copy in self._copies.items():
            if (rest := _rest(prefix, url)) is not None:
                return _under(copy, rest, url), True
        named = {(url.host or "").rstrip("."), (url.raw_host or "").rstrip(".")} & self._hosts
        if not named:
            _check_public(url)
        return url, bool(named)

    async def _body(self, url: URL, reply: Reply) -> bytes:
        if reply.status != 200:
            raise BadRequest(f"{url.host} answered {reply.status} for the picture: check the URL, or {INSTEAD}")
        most = self._settings.size
        with contextlib.suppress(ValueError):
            if int(reply.headers.get("Content-Length", "0")) > most:
                raise too_large(most)
        try:
            return await reply.read(most)
        except TooLarge:
            raise too_large(most) from None


def too_large(most: int) -> BadRequest:
    """The error for a file of more than ``most`` bytes."""
    return BadRequest(f"the picture's file is larger than {most / 1e6:.3g} MB: send a smaller one")


def read_url(text: str, kind: str = "URL") -> URL:
    """An http or https URL that is only what it seems. Raises BadRequest."""
    scheme = text.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        named = f"{scheme}: {kind}s are not read" if scheme.isalpha() and ":" in text else f"that is not a {kind}"
        raise BadRequest(f"{named[:100]}: an http://, https:// or data: URL is")
    if len(text) > _LONGEST:
        raise BadRequest(f"the {kind} is longer than {_LONGEST} characters: {INSTEAD}")
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise BadRequest(f"the {kind} holds a space, a backslash or a character that can't be seen: write it as %20")
    try:
        url = URL(text).with_fragment(None)
        host, port = url.host, url.port
    except ValueError as error:
        raise BadRequest(f"the {kind} can't be read: {str(error)[:200]}") from None
    if not host or not port or len(host) > 253:
        raise BadRequest(f"the {kind} names no host that could be asked: https://host/picture.png would")
    if "@" in url.raw_authority:
        raise BadRequest(f"the {kind} holds a name or a password, which is never sent: leave it out, or {INSTEAD}")
    if "%" in host:
        raise BadRequest(f"the {kind}'s host is not a name or an address: https://host/picture.png has one")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) and not re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", host):
        raise BadRequest(f"the {kind}'s host is a number: write an address as four of them, such as 192.0.2.1")
    return url


def _check_public(url: URL) -> None:
    """Raises BadRequest for what can be refused without asking where the host is."""
    port = url.port or 0
    if port not in (80, 443) and port < 1024:
        raise BadRequest(f"port {port} is not asked for pictures: 80, 443 and those from 1024 on are, or {INSTEAD}")
    host = url.host or ""
    if (":" in host or host.replace(".", "").isdigit()) and not is_public(host):
        raise BadRequest(f"{host} is not a public address: {INSTEAD}, or have its host allowed in [images]")


def _moved(url: URL, reply: Reply) -> URL:
    """Where a redirect leads to."""
    place = reply.headers.get("Location", "")
    if not place:
        raise BadRequest(f"{url.host} answered {reply.status} without saying where the picture is: {INSTEAD}")
    try:
        target = str(url.join(URL(place)))
    except ValueError:
        target = place
    return read_url(target, "redirect")


def _rest(prefix: URL, url: URL) -> str | None:
    """What of the path of ``url`` stands behind ``prefix``, as it was written; None if it isn't below it."""
    if (prefix.scheme, prefix.host, prefix.port) != (url.scheme, url.host, url.port):
        return None
    base, path = prefix.raw_path, url.raw_path
    if path == base:
        return ""
    base = base if base.endswith("/") else base + "/"
    return path[len(base) :] if path.startswith(base) else None


def _under(copy: URL, rest: str, url: URL) -> URL:
    """The address of the copy of ``url``, whose path ends in ``rest``."""
    if ".." in unquote(unquote(rest)).replace("\\", "/").split("/"):
        raise BadRequest(f"the URL's path leads out of this server's copy of {url.host}: write it without ..")
    path = copy.raw_path if not rest else copy.raw_path.rstrip("/") + "/" + rest
    return copy.with_path(path, encoded=True).with_query(url.query)


def read_file(folder: Path, rest: str, most: int) -> bytes:
    """The file ``rest``, a piece of a URL's path, of a mirror's folder, or within links that stay in it. Raises
    BadRequest; what is no file, is hidden, or lies elsewhere is not there."""
    try:
        parts = unquote(rest, errors="strict").split("/") if rest else []
        if any(part.startswith(".") or not part or "\\" in part or not part.isprintable() for part in parts):
            raise ValueError
        root = folder.resolve(strict=True)
        file = root.joinpath(*parts).resolve(strict=True)
        if not file.is_relative_to(root) or not file.is_file():
            raise ValueError
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except (OSError, RuntimeError, ValueError):
        raise BadRequest(f"this server's mirror has no such picture: {INSTEAD}") from None
    if len(content) > most:
        raise too_large(most)
    return content
