"""What a run read, recorded as it reads: by that a build knows whether a notebook has
to run again.

A kernel that `run` starts notes every file that Python opens and every folder that it
lists. It does not see what other processes read, nor what compiled code reads by
itself.
"""

import ast
import hashlib
import json
import os
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labreport.calls import find_calls, name_and_caption, parse_code
from labreport.document import Document
from labreport.expressions import can_write, split_format
from labreport.messages import merge_outputs, read_values
from labreport.report import Report, tags

LARGE = 20_000_000  # bytes above which a file is known by its size and time
_WRITING = os.O_WRONLY | os.O_RDWR
# Where nobody keeps what a report is made from.
_ELSEWHERE = [sys.prefix, sys.base_prefix, tempfile.gettempdir(), "/usr", "/etc"]
_ELSEWHERE += ["/dev", "/proc", "/sys", sysconfig.get_path("purelib")]


@dataclass
class Recorder:
    """The paths that a process opened to read and to write, and listed.

    read: with the time in ns when each was changed last, as it was first opened.
    """

    read: dict[str, int] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an event of Python's audit."""
        if event not in ("open", "os.listdir", "os.scandir"):
            return
        if not isinstance(arguments[0], str | os.PathLike):
            return  # an open file, the current folder
        path = os.path.abspath(arguments[0])
        if event != "open":
            self.listed.add(path)
        elif (arguments[2] or 0) & _WRITING:
            self.written.add(path)
        elif path not in self.read and os.path.exists(path):
            self.read[path] = os.stat(path).st_mtime_ns

    def found(self) -> str:
        """Return as JSON what was read, and the modules that are loaded."""
        read = {path: self.read[path] for path in self.read if path not in self.written}
        for module in list(sys.modules.values()):
            read.setdefault(getattr(module, "__file__", None) or "", 0)
        packages = {name.partition(".")[0] for name in sys.modules}
        return json.dumps([read, sorted(self.listed), sorted(packages)])


RECORDER = Recorder()


def launch_kernel() -> None:
    """Start a kernel of IPython that is recorded."""
    sys.addaudithook(RECORDER.note)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def describe_inputs(report: Report, found: str, begun: float) -> dict[str, Any]:
    """Describe what a run read: digests of files by their paths, and the versions of
    packages.

    found: what `Recorder.found` returned. begun: when the run began, in seconds. What
    was changed since, and after it was opened, may have been read in either state, and
    counts as changed.
    """
    read, listed, packages = json.loads(found)
    files: dict[str, str] = {}
    for opened in sorted({*read, *listed}):
        path = Path(opened)
        if not _is_input(path, report):
            continue
        # A folder's time changes with each temporary file, its digest does not.
        is_kept = path.is_dir() or path.stat().st_mtime < begun
        is_kept |= path.stat().st_mtime_ns == read.get(opened)
        name = os.path.relpath(path.resolve(), report.root)
        files[name] = digest(path) if is_kept else "changed"
    versions: dict[str, str] = {}
    installed = metadata.packages_distributions()
    for package in packages:
        for name in installed.get(package, ()):
            versions[name] = metadata.version(name)
    return {"files": files, "versions": versions}


def _is_input(path: Path, report: Report) -> bool:
    """Return whether a build has to look at a file or a folder again."""
    path = path.resolve()
    if not path.is_relative_to(report.root):
        is_elsewhere = any(path.is_relative_to(folder) for folder in _ELSEWHERE)
        is_hidden = any(part.startswith(".") for part in path.parts)  # a cache
        is_kept = path.is_file() and path.suffix != ".pyc"
        return is_kept and not is_elsewhere and not is_hidden
    below = path.relative_to(report.root)
    # What the engine reads, for prose and settings, and hidden folders.
    is_prose = below.parts[:1] == ("report",) and path.suffix != ".py"
    is_prose |= path.suffix in (".ipynb", ".pyc")
    if is_prose or any(part.startswith((".", "__")) for part in below.parts[:-1]):
        return False
    # Python lists the folders in which it looks for modules.
    has_modules = any(path.glob("*.py")) or any(path.glob("*.ipynb"))
    return path.is_file() or (path.is_dir() and not has_modules)


def digest(path: Path) -> str:
    """Return what tells whether a file changed, or which files a folder has."""
    if path.is_dir():
        content = "\n".join(sorted(os.listdir(path))).encode()
    elif path.stat().st_size > LARGE:
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def digest_code(notebook: NotebookNode) -> str:
    """Compute a SHA-256 of a notebook's code, without captions that stand in calls, and
    without the parameters, which a run sets.
    """
    parts: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in tags(cell):
            tree = parse_code(cell.source)
            for call in find_calls(tree):
                caption = name_and_caption(call)[1]
                if isinstance(caption, ast.Constant):
                    caption.value = ""
            code = ast.dump(tree) if tree.body else cell.source
            parts.append(f"{code} {'raises-exception' in tags(cell)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_stale(
    document: Document, executed: NotebookNode, report: Report, settings: Any
) -> bool:
    """Return whether a notebook has to run: its executed copy was made from other
    inputs, or lacks a value of its prose.
    """
    inputs = executed.metadata.get("labreport", {})
    code = digest_code(document.source.notebook)
    if inputs.get("settings") != settings or inputs["code"] != code:
        return True
    for name, was in inputs["files"].items():
        path = report.root / name
        if not path.exists() or digest(path) != was:
            return True
    for name, version in inputs["versions"].items():
        try:
            if metadata.version(name) != version:
                return True
        except metadata.PackageNotFoundError:
            return True
    return not _has_values(document, executed)


def _has_values(document: Document, executed: NotebookNode) -> bool:
    """Return whether a run evaluated all that the prose asks for now, or failed to."""
    cells = merge_outputs(document.source.notebook.cells, executed.cells)
    found = read_values(cells)
    for part in document.parts:
        known = found[part.cell.id]
        for placeholder in part.placeholders:
            expression, form = split_format(placeholder)
            value = known.values.get(expression)
            has_failed = value is None and placeholder in known.errors
            if not has_failed and (value is None or not can_write(value, form)):
                return False
        if not part.claims.keys() <= known.claims.keys() | known.errors.keys():
            return False
    return True
