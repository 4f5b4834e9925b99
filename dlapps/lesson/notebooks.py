"""Notebooks of a class on disk: read without a traceback, written without a loss."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from dlapps.lesson import LessonError
from dlapps.report.sources import first_line


def read(path: Path) -> NotebookNode:
    """The notebook in a student's file; a LessonError when there is none or it is damaged."""
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook)
    # A folder, a file of another kind, JSON that is no notebook: nbformat raises a different kind for each.
    except Exception as error:
        raise LessonError(
            f"expected a notebook in {path}, got {type(error).__name__}: {first_line(str(error))}; name another file."
        ) from error
    return notebook


def write(path: Path, notebook: NotebookNode) -> None:
    """Replace a file by a notebook that was read back first; what fails leaves it as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        nbformat.write(notebook, temporary)
        if read(temporary) != notebook:
            raise LessonError(f"expected {path} as it was to be written, got another notebook; look at the disk.")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def chapter_name(notebook: NotebookNode, path: Path) -> str:
    """The chapter that a student's notebook belongs to, as written into it, else as the file is named."""
    name = notebook.metadata.get("dlapps", {}).get("chapter", path.stem)
    if not re.match(r"\d+_\w", str(name)):
        raise LessonError(
            f"expected a notebook of a chapter, got {path.name}; take one that dlapps class student wrote, or give it "
            "its chapter's name, such as 1_transfer_learning.ipynb."
        )
    return name
