"""Weights from the Hugging Face Hub, or from whatever speaks as it does (``HF_ENDPOINT``).

huggingface_hub does the talking. Its own file download keeps nothing of what a killed process had fetched (the partial
file has a new name each time), so files that are under way are kept here, and its ``http_get`` goes on where they end.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from msgspec import Struct

from tertulia.catalog.choose import choose
from tertulia.catalog.files import File, check_room, clear, digest, git_name
from tertulia.catalog.progress import Progress
from tertulia.errors import StoreError

_PATIENCE = 20.0


class Address(Struct, frozen=True):
    """The Hub's address, and the token that is shown to it, if there is one."""

    url: str
    token: str = ""


class _Wanted(Struct, frozen=True):
    path: str
    name: str
    bytes: int
    sha256: str
    sha1: str

    @property
    def part(self) -> str:
        """The name while it is under way. It holds the hash: what was begun of another version is not gone on with."""
        return f"{self.name}.{(self.sha256 or self.sha1)[:16]}.part"


def from_hub(repo: str, wanted: str, folder: Path, address: Address, progress: Progress) -> tuple[str, list[File]]:
    """Put the files of ``repo`` into ``folder``, checked, going on with what an earlier try left there.

    ``wanted`` chooses among GGUF files. Returns what the manifest calls the source, and the files.
    """
    with _translated(repo, address):
        commit, listed = _look(repo, address)
    choice = choose(list(listed), wanted, repo)
    if choice.note:
        progress.say(choice.note)
    # The small ones first: a closed repository shows itself before anything large is fetched.
    files = sorted((listed[path] for path in choice.paths), key=lambda file: file.bytes)
    clear(folder, {name for file in files for name in (file.name, file.part)})
    held = sum(path.stat().st_size for path in folder.iterdir())
    check_room(folder, sum(file.bytes for file in files) - held, repo)
    done = [_fetch(repo, commit, file, folder, address, progress) for file in files]
    one = f"/{choice.paths[0]}" if len(choice.paths) == 1 else ""
    return f"hub:{repo}@{commit}{one}", done


def _look(repo: str, address: Address) -> tuple[str, dict[str, _Wanted]]:
    """The commit that ``main`` is at, and every file of it."""
    from huggingface_hub import HfApi

    _settle_library()
    api = HfApi(endpoint=address.url, token=address.token or False)
    info = api.model_info(repo, files_metadata=True, timeout=_PATIENCE)
    listed: dict[str, _Wanted] = {}
    for item in info.siblings or ():
        sha256 = item.lfs.sha256 if item.lfs else ""
        length = item.lfs.size if item.lfs else item.size or 0
        name = PurePosixPath(item.rfilename).name
        listed[item.rfilename] = _Wanted(item.rfilename, name, length, sha256, "" if sha256 else item.blob_id or "")
    return info.sha or "main", listed


def _settle_library() -> None:
    """Two of huggingface_hub's settings; the library reads them from the environment when it is imported."""
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    # A stretch that is cut short is lost; its ten megabytes are a lot to lose on a line that is cut often.
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 20


def _fetch(repo: str, commit: str, file: _Wanted, folder: Path, address: Address, progress: Progress) -> File:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.utils import build_hf_headers  # pyright: ignore[reportUnknownVariableType]

    target, part = folder / file.name, folder / file.part
    if not target.exists():
        with _translated(repo, address), part.open("ab") as out:
            http_get(
                hf_hub_url(repo, file.path, revision=commit, endpoint=address.url),
                out,
                resume_size=part.stat().st_size,
                headers=build_hf_headers(token=address.token or False) | {"accept-encoding": "identity"},
                expected_size=file.bytes,
                displayed_filename=file.name,
                tqdm_class=progress.bar_class(),
            )
        part.replace(target)
    sha256 = digest(target, progress)
    if file.sha256 not in ("", sha256) or (file.sha1 and file.sha1 != git_name(target)):
        target.unlink()
        raise StoreError(
            f"{file.name} of {repo} came with another hash than {address.url} gives for it, and was thrown away; "
            "pull again, and if it stays so, the file there is damaged"
        )
    return File(file.name, sha256, target.stat().st_size)


@contextmanager
def _translated(repo: str, address: Address) -> Generator[None]:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]
        OfflineModeIsEnabled,
    )

    try:
        yield
    except HfHubHTTPError as error:
        code = error.response.headers.get("X-Error-Code", "")
        _refuse(repo, address, error.response.status_code, code)
    except HFValidationError as error:
        raise StoreError(f"{repo!r} can't be the name of a repository: {error}") from None
    except OfflineModeIsEnabled:
        raise StoreError("HF_HUB_OFFLINE is set, so nothing was asked of the Hub; pull a local path instead") from None
    except HTTPError as error:
        raise StoreError(
            f"{address.url} can't be reached, or the connection was lost ({str(error) or type(error).__name__}). Pull"
            " again to go on from here, set HF_ENDPOINT to a mirror that can be reached, or pull a local path"
        ) from None
    except ValueError as error:
        raise StoreError(f"{address.url} gave an answer for {repo} that can't be used: {error}") from None
    except OSError as error:
        raise StoreError(f"fetching {repo} failed: {error.strerror or error}") from None


def _refuse(repo: str, address: Address, status: int, code: str) -> NoReturn:
    page = f"{address.url}/{repo}"
    if status == 404 or code == "RepoNotFound":
        raise StoreError(
            f"{address.url} has no repository {repo}; if it is a private one, set HF_TOKEN to a token that may read it"
        )
    if status in (401, 403):
        shown = "the token in HF_TOKEN is not allowed to read it" if address.token else "no token was shown"
        raise StoreError(
            f"{repo} is gated or closed, and {shown}. Accept the licence on {page} with your account, then set HF_TOKEN"
            " to a token of that account and pull again"
        )
    raise StoreError(f"{address.url} answered {status} for {repo}; try again later, or set HF_ENDPOINT to a mirror")
