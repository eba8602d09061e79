"""A process that is asked in turn: one JSON object a line in, one out. What is measured runs in such a process, so that
its CPU time is its own and the rounds of several can be interleaved."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Answer = dict[str, Any]


class Worker:
    """``python -m bench.MODULE ARGUMENTS``, started; leave the ``with`` to end it."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"bench.{module}", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._read()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def ask(self, **question: Any) -> Answer:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def chats(
        self, texts: list[str], most: int | list[int], schema: Any = None, pictures: list[str] | None = None
    ) -> Answer:
        """For the worker ``ours``: answer ``texts`` at once, ``most`` tokens each, or in the form of ``schema``; about
        ``pictures``, one each."""
        return self.ask(do="chats", texts=texts, most=most, schema=schema, pictures=pictures)

    def _read(self) -> Answer:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} has ended with {self._process.wait()}")
        return json.loads(line)


def serve(answer: Callable[[Answer], Answer]) -> None:
    """The process's side: say that it is ready, then answer each line until there are no more. What libraries write to
    standard output goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    reply: Answer = {"ready": True}
    while True:
        out.write(json.dumps(reply) + "\n")
        out.flush()
        line = sys.stdin.readline()
        if not line:
            return
        reply = answer(json.loads(line))


def cpu() -> float:
    """CPU seconds of this process so far, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
