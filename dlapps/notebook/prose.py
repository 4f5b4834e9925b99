"""What references and citations in a notebook's prose stand for, as the notebook shows them while it is worked in.

A build has its own road, by pandoc.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlapps import DlappsError
from dlapps.core import paths
from dlapps.notebook.outline import KEY, REFERENCE_OR_CITATION, Outline, read_outline
from dlapps.notebook.syntax import run_pandoc

Part = dict[str, Any]  # of an answer: "text", and where it has them "title", "kind", "href"

REFERENCE = re.compile(r"@(fig|tab|sec|eq)-(?:(\d+|[A-Z])-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
_CITED = re.compile(rf"([^;@]*?)(-?)@({KEY})([^;]*)")


@dataclass(frozen=True)
class Work:
    """A work that prose may cite: "Radford et al.", its year, its title and its address (of its DOI, or its own)."""

    authors: str
    year: str
    title: str
    address: str

    @property
    def link(self) -> dict[str, str]:
        """The title, and the address if it is a web page: one such as javascript: would run."""
        return {"title": self.title} | ({"href": self.address} if re.match("https?://", self.address, re.I) else {})


def read_works(path: Path) -> dict[str, Work]:
    """The works in that file, by key; DlappsError where pandoc cannot read it."""
    try:
        entries = run_pandoc(path.read_text(encoding="utf-8"), ["--from", "biblatex", "--to", "csljson"])
    except DlappsError as error:
        raise DlappsError(f"{path.name}: {error}") from error
    return {entry["id"]: _work(entry) for entry in json.loads(entries)}


def _work(entry: dict[str, Any]) -> Work:
    dates = entry.get("issued", {}).get("date-parts")
    address = f"https://doi.org/{entry['DOI']}" if "DOI" in entry else entry.get("URL", "")
    names = [_last_name(one) for one in entry.get("author", entry.get("editor", []))]
    # As a citation writes them: one, "A and B", or "A et al.".
    authors = " and ".join(names) if len(names) < 3 and "others" not in names else f"{names[0]} et al."
    return Work(authors, str(dates[0][0]) if dates else "n.d.", entry.get("title", "").replace("$", ""), address)


def _last_name(person: dict[str, str]) -> str:
    particle, name = person.get("non-dropping-particle"), person.get("family", person.get("literal", ""))
    return f"{particle} {name}" if particle else name


class Prose:
    """The answers to a notebook's references and citations: path is its file, number its chapter's.

    An answer is a list of parts, each with its words; one of the kind "error" says in one sentence what is wrong.
    """

    def __init__(self, path: Path, number: str) -> None:
        self.path, self.number = path, number
        self._read: dict[Path, tuple[int, Any]] = {}

    @property
    def outline(self) -> Outline:
        """The outline of the notebook's file as it is now; empty without the file."""
        return self._chapter(self.path, self.number)

    def answer(self, token: str) -> list[Part]:
        """What stands in the place of @fig-name, @key or [@key, p. 3; @key]."""
        try:
            found = REFERENCE.fullmatch(token)
            if not found:
                return self._cite(token)
            return [self._reference(found[1], found[2] or self.number, found[3])]
        except (ValueError, DlappsError) as error:
            where = f"{self.path.name}, cell {self.outline.tokens.get(token)}"
            return [{"text": f"{where}: {error}", "kind": "error"}]

    def resolve(self, markdown: str) -> str:
        """The text with its references and citations in words."""
        return REFERENCE_OR_CITATION.sub(
            lambda found: "".join(part["text"] for part in self.answer(found[0])), markdown
        )

    def _reference(self, kind: str, number: str, name: str) -> Part:
        label = f"{kind}-{number}-{name}"
        names = {of: name for name, of in paths.chapters().items()} | {self.number: self.path.stem}
        path = self.path.with_name(f"{names[number]}.ipynb") if number in names else None
        outline = self._chapter(path, number) if path else Outline(number)
        if label not in outline.labels:
            raise ValueError(f"expected a reference to something shown, got {label}; correct it.")
        if label in outline.duplicates:
            raise ValueError(f"expected one use of the label {label}, got several; rename one.")
        text = outline.labels[label]["text"]
        return {"text": text, "href": path.name} if path and path != self.path else {"text": text, "kind": "reference"}

    def _cite(self, token: str) -> list[Part]:
        works = self._cached(paths.report() / "references.bib", read_works, {})
        if not token.startswith("["):
            work = _find_work(works, token[1:])
            return [{**work.link, "text": f"{work.authors} ({work.year})"}]
        parts: list[Part] = [{"text": "("}]
        for before, bare, key, behind in _CITED.findall(token[1:-1]):
            work = _find_work(works, key)
            words = work.year if bare else f"{work.authors}, {work.year}"
            parts += [{"text": before.lstrip()}, {**work.link, "text": words}]
            parts.append({"text": f"{behind.rstrip()}; "})
        parts[-1]["text"] = parts[-1]["text"].removesuffix("; ") + ")"
        return [part for part in parts if part["text"]]

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


def _find_work(works: dict[str, Work], key: str) -> Work:
    if key not in works:
        raise ValueError(f"expected a work in report/references.bib, got {key}; add it or correct the key.")
    return works[key]
