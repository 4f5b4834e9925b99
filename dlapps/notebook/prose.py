"""What references and citations in a notebook's prose stand for, as the notebook shows them while it is worked in.

A build has its own road, by pandoc.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dlapps import DlappsError
from dlapps.core import paths
from dlapps.notebook.outline import KEY, REFERENCE_OR_CITATION, Outline, read_outline
from dlapps.notebook.syntax import parse, run_pandoc, write

Answer = dict[str, str]  # "text"; the "href" of another notebook, or the "kind", "reference" or "error"

REFERENCE = re.compile(r"@(fig|tab|sec|eq)-(?:(\d+|[A-Z])-)?(.+)")  # of a whole key
KEYS = re.compile(rf"(?<!\w)@({KEY})")


def citeproc() -> list[str]:
    """pandoc's options that write citations as author and year, and the works cited; none without a bibliography."""
    bibliography = paths.report() / "references.bib"
    return ["--citeproc", f"--bibliography={bibliography}"] * bibliography.exists()


def read_keys(path: Path) -> set[str]:
    """The keys of the works in that file; DlappsError where pandoc cannot read it."""
    try:
        entries = run_pandoc(path.read_text(encoding="utf-8"), ["--from", "biblatex", "--to", "csljson"])
    except DlappsError as error:
        raise DlappsError(f"{path.name}: {error}") from error
    return {entry["id"] for entry in json.loads(entries)}


def cite(citations: Iterable[str]) -> dict[str, str]:
    """Each citation, @key or [@key, p. 3], in words; its works are known."""
    unique = list(dict.fromkeys(citations))
    options = [*citeproc(), "--metadata=suppress-bibliography:true", "--wrap=none"]
    return dict(zip(unique, write(parse(unique), "plain", options), strict=False)) if unique else {}


class Prose:
    """The answers to a notebook's references and citations: path is its file, number its chapter's.

    One of the kind "error" says in one sentence what is wrong.
    """

    def __init__(self, path: Path, number: str) -> None:
        self.path, self.number = path, number
        self._read: dict[Path, tuple[int, Any]] = {}

    @property
    def outline(self) -> Outline:
        """The outline of the notebook's file as it is now; empty without the file."""
        return self._chapter(self.path, self.number)

    def answer(self, tokens: Iterable[str]) -> dict[str, Answer]:
        """What stands in the place of each @fig-name, @key or [@key, p. 3; @key]."""
        answers: dict[str, Answer] = {}
        cited = []
        for token in tokens:
            try:
                if found := REFERENCE.fullmatch(token):
                    answers[token] = self._refer(found[1], found[2] or self.number, found[3])
                else:
                    self._require_keys(token)
                    cited.append(token)
            except DlappsError as error:
                where = f"{self.path.name}, cell {self.outline.tokens.get(token)}"
                answers[token] = {"text": f"{where}: {error}", "kind": "error"}
        return answers | {token: {"text": text} for token, text in cite(cited).items()}

    def resolve(self, markdown: str) -> str:
        """The text with its references and citations in words."""
        answers = self.answer(REFERENCE_OR_CITATION.findall(markdown))
        return REFERENCE_OR_CITATION.sub(lambda found: answers[found[0]]["text"], markdown)

    def _refer(self, kind: str, number: str, name: str) -> Answer:
        label = f"{kind}-{number}-{name}"
        names = {of: name for name, of in paths.chapters().items()} | {self.number: self.path.stem}
        path = self.path.with_name(f"{names[number]}.ipynb") if number in names else None
        outline = self._chapter(path, number) if path else Outline(number)
        if label not in outline.labels:
            raise DlappsError(f"expected a reference to something shown, got {label}; correct it.")
        if label in outline.duplicates:
            raise DlappsError(f"expected one use of the label {label}, got several; rename one.")
        text = outline.labels[label]["text"]
        return {"text": text, "href": path.name} if path and path != self.path else {"text": text, "kind": "reference"}

    def _require_keys(self, citation: str) -> None:
        keys = self._cached(paths.report() / "references.bib", read_keys, set())
        for key in KEYS.findall(citation):
            if key not in keys:
                raise DlappsError(f"expected a work in report/references.bib, got {key}; add it or correct the key.")

    def _chapter(self, path: Path, number: str) -> Outline:
        return self._cached(path, lambda path: read_outline(path, number), Outline(number))

    def _cached(self, path: Path, read: Any, absent: Any) -> Any:
        """The content of a file, read again when the file changed."""
        if not path.is_file():
            return absent
        changed = path.stat().st_mtime_ns
        if path not in self._read or self._read[path][0] != changed:
            self._read[path] = (changed, read(path))
        return self._read[path][1]
