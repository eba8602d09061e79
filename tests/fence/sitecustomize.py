"""Found by every Python of a server under test: hosts are where ``FENCE_NAMES`` says, nobody far away is dialled, and
whoever is dialled is written down in ``FENCE_LOG``."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from drawing import Names
from tertulia import net

LOG = Path(os.environ["FENCE_LOG"])


class Named(net.Net):
    """A Net with names of its own."""

    def __init__(self, connect_timeout: float = 10) -> None:
        super().__init__(connect_timeout, Names(json.loads(os.environ["FENCE_NAMES"])))


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or arguments[0].type == socket.SOCK_DGRAM or not isinstance(arguments[1], tuple):
        return
    with LOG.open("a") as log:
        log.write(f"{arguments[1][0]} {arguments[1][1]}\n")
    if arguments[1][0] not in ("127.0.0.1", "::1"):
        raise PermissionError("tests talk to this machine only")


net.Net = Named
sys.addaudithook(watch)
