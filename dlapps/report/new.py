"""A report of one's own: a folder with one chapter that runs, to be written on."""

import json
from pathlib import Path

from dlapps.core import paths
from dlapps.report import ReportError
from dlapps.report.document import TEMPLATES


def write_report(folder: Path, title: str, authors: list[str]) -> list[Path]:
    """Write the first chapter, its bibliography, and report.toml with title and authors; returns the files.

    The folder may have others. A ReportError where one of these is there already: nothing is replaced.
    """
    template = TEMPLATES / "new"
    found = (path for path in template.rglob("*") if path.is_file())
    files = {path.relative_to(template): path.read_bytes() for path in found}
    # A string of JSON is one of TOML.
    facts = {"title": title, "authors": authors}
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in facts.items()]
    files[paths.MARK] = "".join(lines).encode()
    if there := sorted(folder / name for name in files if (folder / name).exists()):
        raise ReportError(f"expected a folder for a new report, got one with {there[0]}; name another one.")
    try:
        return [paths.write_atomically(folder / name, content) for name, content in sorted(files.items())]
    except OSError as error:
        raise ReportError(
            f"expected a folder to write into, got {folder} ({error.strerror}); name another one."
        ) from error
