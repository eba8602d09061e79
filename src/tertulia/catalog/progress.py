"""What a pull tells the one who waits for it: lines, through a callable that the command line gives, and bars."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, cast


class Bar(Protocol):
    """The part of tqdm's bar that is used here."""

    def __enter__(self) -> "Bar": ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def update(self, n: float | None = 1) -> Any: ...


def _nowhere(line: str) -> None:
    del line


class Progress:
    """``say`` takes a line; ``bars`` says whether bars may be drawn (on standard error, if that is a terminal)."""

    def __init__(self, say: Callable[[str], None] = _nowhere, bars: bool = False) -> None:
        self.say = say
        self.bars = bars

    def bar(self, label: str, total: int) -> Bar:
        """A bar that counts bytes up to ``total``."""
        return cast(Bar, self.bar_class()(total=total, desc=label, unit="B", unit_scale=True))

    def bar_class(self) -> type[Any]:
        """The class of the bars, for a library that makes its own."""
        from tqdm import tqdm

        shown = self.bars

        class Drawn(tqdm):  # pyright: ignore[reportMissingTypeArgument, reportUnknownVariableType, reportUntypedBaseClass]
            def __init__(self, *args: Any, **options: Any) -> None:
                options.pop("name", None)
                # None lets tqdm look for a terminal.
                super().__init__(*args, **options | {"disable": None if shown else True, "leave": False})  # pyright: ignore[reportUnknownMemberType]

        return Drawn  # pyright: ignore[reportUnknownVariableType]


def size(count: float) -> str:
    """A number of bytes as people read it: ``98 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
