"""Runs Python snippets one after another in one process: ``run.py FOLDER`` prints, as JSON, what each of its files
printed and how it failed, if it did."""

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path


def main() -> None:
    told: dict[str, dict[str, str]] = {}
    for file in sorted(Path(sys.argv[1]).glob("*.py")):
        out, error = io.StringIO(), ""
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), {"__name__": "__main__"})
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            error = traceback.format_exc()
        told[file.stem] = {"out": out.getvalue(), "error": error}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
