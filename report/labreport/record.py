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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labreport import environment
from labreport.document import Document, find_literal, is_showing, name_and_caption
from labreport.expressions import can_write, split_format
from labreport.messages import outputs
from labreport.report import Report, read_notebook, tags

LARGE = 20_000_000  # bytes above which a file is known by its size and time
_WRITING = os.O_WRONLY | os.O_RDWR
# Where nobody keeps what a report is made from.
_ELSEWHERE = [sys.prefix, sys.base_prefix, tempfile.gettempdir()]
_ELSEWHERE += [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]
_ELSEWHERE += ["/dev", "/etc", "/proc", "/sys", "/usr"]
ELSEWHERE = [Path(folder).resolve() for folder in _ELSEWHERE]


@dataclass
class Recorder:
    """The paths that a process opened to read and to write, and listed."""

    read: set[str] = field(default_factory=set)
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
        else:
            self.read.add(path)

    def found(self) -> str:
        """Return as JSON what was read, and the modules that are loaded by name."""
        modules: dict[str, str] = {}
        for name, module in list(sys.modules.items()):
            modules[name] = getattr(module, "__file__", None) or ""
        read = sorted(self.read - self.written)
        found = {"read": read, "listed": sorted(self.listed), "modules": modules}
        return json.dumps(found)


RECORDER = Recorder()


def launch_kernel() -> None:
    """Start a kernel of IPython that is recorded."""
    sys.addaudithook(RECORDER.note)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def describe_inputs(
    report: Report, found: str, before: Mapping[str, Any], begun: float
) -> dict[str, Any]:
    """Describe what a run was made from.

    found: what `Recorder.found` returned. before: settings and code. begun: when the
    run began, in seconds; what was changed since may have been read in either state,
    and makes the next build run again.
    """
    record = json.loads(found)
    paths = {Path(path) for path in record["read"] if not path.endswith(".pyc")}
    packages: set[str] = set()
    for name, file in record["modules"].items():
        if file:
            paths.add(Path(file))
        packages.add(name.partition(".")[0])
    paths.update(Path(folder) for folder in record["listed"])
    files: dict[str, str] = {}
    for path in sorted(paths):
        if _is_input(path, report):
            is_old = path.stat().st_mtime < begun
            files[_name(path, report)] = digest(path) if is_old else "changed"
    return {**before, "files": files, "versions": _versions(packages)}


def _is_input(path: Path, report: Report) -> bool:
    """Return whether a build has to look at a file or a folder again."""
    path = path.resolve()
    if any(path.is_relative_to(folder) for folder in ELSEWHERE[:2]):
        return False
    inside = path.is_relative_to(report.root)
    if inside and (path.parent == report.notebooks and path.suffix == ".ipynb"):
        return False
    if inside and path.is_relative_to(report.folder):
        return False  # what the engine reads, for prose and settings
    if not inside and any(path.is_relative_to(folder) for folder in ELSEWHERE):
        return False
    below = path.relative_to(report.root) if inside else path
    if any(part.startswith((".", "__pycache__")) for part in below.parts):
        return False
    if path.is_dir():
        # Not where Python looks for modules.
        return inside and not any(path.glob("*.py")) and path != report.notebooks
    return path.is_file()


def _name(path: Path, report: Report) -> str:
    path = path.resolve()
    if path.is_relative_to(report.root):
        return path.relative_to(report.root).as_posix()
    return path.as_posix()


def digest(path: Path) -> str:
    """Return what tells whether a file changed, or which files a folder has."""
    if path.is_dir():
        content = "\n".join(sorted(os.listdir(path))).encode()
    elif path.stat().st_size > LARGE:
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that have these modules."""
    installed = metadata.packages_distributions()
    versions: dict[str, str] = {}
    for package in packages:
        for name in installed.get(package, ()):
            versions[name] = metadata.version(name)
    return dict(sorted(versions.items()))


def read_settings(report: Report, profile: str, seed: int) -> dict[str, Any]:
    """Return what changes the numbers of a run besides its code: profile, seed,
    threads, and the settings of libraries.
    """
    settings = {
        "profile": vars(report.profile(profile)),
        "seed": seed,
        "threads": environment.num_threads(),
        **environment.library_settings(),
    }
    # As the metadata of a notebook have it, where a tuple is a list.
    return json.loads(json.dumps(settings))


def digest_code(notebook: NotebookNode) -> str:
    """Compute a SHA-256 of the code of a notebook, without comments, without captions,
    which are prose, and without the parameters, which a run sets.
    """
    parts: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in tags(cell):
            may_fail = "raises-exception" in tags(cell)
            parts.append(f"{_read_code(cell.source)} {may_fail}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read_code(code: str) -> str:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a magic
        return code
    for call in ast.walk(tree):
        if is_showing(call):
            literal = find_literal(tree, name_and_caption(call)[1])
            if literal is not None:
                literal.value = ""
    return ast.dump(tree)


def is_stale(document: Document, executed: Path, report: Report, settings: Any) -> bool:
    """Return whether a notebook has to run: its executed copy is missing, was made from
    other inputs, or lacks a value of its prose.
    """
    if not executed.exists():
        return True
    copy = read_notebook(executed)
    inputs = copy.metadata.get("labreport", {}).get("inputs")
    notebook = document.source.notebook
    if inputs is None or inputs["settings"] != settings:
        return True
    if inputs["code"] != digest_code(notebook):
        return True
    for name, version in inputs["versions"].items():
        try:
            is_same = metadata.version(name) == version
        except metadata.PackageNotFoundError:
            is_same = False
        if not is_same:
            return True
    for name, was in inputs["files"].items():
        path = report.root / name
        if not path.exists() or digest(path) != was:
            return True
    return not _has_values(document, copy)


def _has_values(document: Document, executed: NotebookNode) -> bool:
    """Return whether a run evaluated all that the prose asks for now."""
    values: dict[str, Any] = {}
    claims: set[str] = set()
    for cell in executed.cells:
        for _, message in outputs(cell, "values"):
            for placeholder, value in message["values"].items():
                values[split_format(placeholder)[0]] = value
            claims.update(message["claims"])
    for part in document.parts:
        for placeholder in part.placeholders:
            expression, form = split_format(placeholder)
            value = values.get(expression, {"error": ""})
            if "error" in value or not can_write(value, form):
                return False
        for claim in part.claims:
            if claim.expression not in claims:
                return False
    return True
