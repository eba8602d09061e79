"""An engine's figures, as Prometheus wants them."""

import platform
from importlib.metadata import version
from pathlib import Path

_COUNTED = ("prompt_tokens", "cached_tokens", "completion_tokens", "preemptions")


class Figures:
    """Counts for the model ``name``; ``about`` are facts of it that don't change."""

    def __init__(self, name: str, **about: object) -> None:
        self._model = f'model="{name}"'
        self._about = {"openvino": version("openvino"), "cpu": _cpu()} | about
        self.counters: dict[str, int] = dict.fromkeys(_COUNTED, 0)

    def count(self, **more: int) -> None:
        """Add to counters."""
        for name, value in more.items():
            self.counters[name] += value

    def text(self, gauges: dict[str, float]) -> str:
        """All of it, with ``gauges`` as they are now."""
        about = ",".join(f'{name}="{value}"' for name, value in self._about.items())
        lines = ["# TYPE tertulia_engine_info gauge", f"tertulia_engine_info{{{self._model},{about}}} 1"]
        kinds = [("gauge", name, value) for name, value in gauges.items()]
        kinds += [("counter", f"{name}_total", value) for name, value in self.counters.items()]
        for kind, name, value in kinds:
            lines += [f"# TYPE tertulia_engine_{name} {kind}", f"tertulia_engine_{name}{{{self._model}}} {value}"]
        return "\n".join(lines) + "\n"


def _cpu() -> str:
    """What the system calls this machine's processor, as a label may hold it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), platform.machine())
    return name.strip().translate({ord(sign): " " for sign in '"\\\n'})
