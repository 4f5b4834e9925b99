"""What the placeholders in a notebook's prose stand for: numbers, references, citations; read from the notebook's file.

The notebook shows them while it is worked in (see `live`); a build has its own road, by pandoc.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlapps import DlappsError
from dlapps.core import paths
from dlapps.notebook.outline import KEY, NUMBER, Outline, read_outline
from dlapps.notebook.syntax import run_pandoc

Scalar = int | float | str | bool
Part = dict[str, Any]  # of an answer: "text", and where it has them "title", "kind", "href", "cell", "notebook"

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


def default_format(value: Scalar) -> str:
    """The format of a number without one of its own: 1,500 or 0.913."""
    if isinstance(value, int) and not isinstance(value, bool):
        return ","
    if isinstance(value, float):
        return ",.0f" if abs(value) >= 1000 else ".3g"
    return ""


class Prose:
    """The answers to a notebook's placeholders: path is its file, number its chapter's.

    Words stand in the answer's parts; a part is an error (an unknown name, a format that does not fit), in one
    sentence, or pending: a number that no cell has recorded yet.
    """

    def __init__(self, path: Path, number: str) -> None:
        self.path, self.number = path, number
        self.values: dict[str, Scalar] = {}
        self._sources: dict[str, str] = {}  # of the cell that recorded each value
        self._ran: Sequence[str] = ()
        self._complete = False
        self._disorder: dict[str, tuple[int, int]] = {}
        self._read: dict[Path, tuple[int, Any]] = {}

    @property
    def outline(self) -> Outline:
        """The outline of the notebook's file as it is now; empty without the file."""
        return self._chapter(self.path, self.number)

    def record(self, values: Mapping[str, Scalar]) -> None:
        """Add the numbers of the cell that is running."""
        self.values |= values
        self._sources |= dict.fromkeys(values, self._ran[-1].strip() if self._ran else "")

    def note_runs(self, ran: Sequence[str]) -> None:
        """Note the sources of the cells that ran, in order; the list may grow afterwards."""
        self._ran = ran
        outline = self.outline
        self._complete = {source.strip() for source in ran}.issuperset(source for _, source in outline.code if source)
        self._disorder = outline.find_disorder(ran)

    def answer(self, token: str) -> list[Part]:
        """What stands in a placeholder's place: {{name:.1%}}, @fig-name, {#sec-name}, @key or [@key, p. 3; @key]."""
        try:
            if token.startswith("{"):
                return self._heading(token) if token.startswith("{#") else self._number(token)
            found = REFERENCE.fullmatch(token)
            if not found:
                return self._cite(token)
            return [self._reference(found[1], found[2] or self.number, found[3])]
        except (ValueError, DlappsError) as error:
            place = self.outline.tokens.get(token)
            where = f"{self.path.name}, cell {place}: " if place else f"{self.path.name}: "
            return [{"text": f"{where}{error}", "kind": "error"}]

    def formula(self, formula: str | None) -> str | None:
        """The formula's LaTeX with its numbers."""
        return formula and NUMBER.sub(lambda found: rf"\text{{{self.answer(found[0])[0]['text']}}}", formula)

    def _number(self, token: str) -> list[Part]:
        found = NUMBER.fullmatch(token)
        if not found:
            raise ValueError(
                f"expected a number's name and format, as in name:.1%, got {token.strip('{ }')}; correct it."
            )
        name, spec = found[1], found[2] or ""
        if name in self.values:
            parts: list[Part] = [{"text": _write(self.values[name], spec, name), "title": name}]
            if disorder := self._disorder.get(self._sources[name]):
                cell, later = disorder
                note = f" ({self.path.name}, cell {cell}: cell {later} ran after it; run it again)"
                parts.append({"text": note, "kind": "error"})
            return parts
        published = self._published().get(name)
        if published and published["chapter"] != self.path.stem:
            title = f"{name}, by {published['chapter']}, profile {published['profile']}"
            return [{"text": _write(published["value"], spec, name), "title": title}]
        if self._complete:
            raise ValueError(f"expected a recorded number, got {name}; record it or correct the name.")
        return [{"text": "–", "kind": "pending", "title": f"{name}: no cell has recorded it yet"}]

    def _heading(self, token: str) -> list[Part]:
        label = token[2:-1].split()[0].replace("sec-", f"sec-{self.number}-", 1)
        _require_one_use(self.outline, label)
        return []

    def _reference(self, kind: str, number: str, name: str) -> Part:
        label = f"{kind}-{number}-{name}"
        names = {of: name for name, of in paths.chapters().items()} | {self.number: self.path.stem}
        path = self.path.with_name(f"{names[number]}.ipynb") if number in names else None
        outline = self._chapter(path, number) if path else Outline(number)
        if label not in outline.labels:
            raise ValueError(f"expected a reference to something shown, got {label}; correct it.")
        _require_one_use(outline, label)
        return outline.labels[label] | ({"notebook": path.name} if path and path != self.path else {})

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

    def _published(self) -> dict[str, dict[str, Any]]:
        """What other chapters recorded, in the committed report or else the last build."""
        found = (folder / "results.json" for folder in (paths.report(), paths.build()))
        path = next((path for path in found if path.is_file()), None)
        if path is None:
            return {}
        return self._cached(path, lambda path: json.loads(path.read_text(encoding="utf-8")), {})

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


def format_number(value: Scalar, spec: str, name: str, power: str | Callable[[re.Match[str]], str]) -> str:
    """A recorded value in a format of Python, or in its usual one for none; a ValueError where it does not fit.

    What rounds to 0 has no sign. power: what 1e-05 is written as, of its three groups: digit, sign and exponent.
    """
    try:
        shown = format(value, spec or default_format(value))
    except ValueError as error:
        raise ValueError(f"expected a format that fits {value!r}, got {spec!r} for {name}; correct it.") from error
    if isinstance(value, str):
        return shown
    shown = re.sub(r"^[-+](?=0[.0]*%?$)", "", shown)
    return re.sub(r"(\d)e(-?)\+?0*(\d+)$", power, shown)


def power_in_words(found: re.Match[str]) -> str:
    """1e-05 as 1 × 10⁻⁵."""
    superscripts = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{found[1]} × 10{(found[2] + found[3]).translate(superscripts)}"


def _write(value: Scalar, spec: str, name: str) -> str:
    shown = format_number(value, spec, name, power_in_words)
    return shown if isinstance(value, str) else re.sub(r"^-(?=\d)", "−", shown)


def _require_one_use(outline: Outline, label: str) -> None:
    if label in outline.duplicates:
        raise ValueError(f"expected one use of the label {label}, got several; rename one.")


def _find_work(works: dict[str, Work], key: str) -> Work:
    if key not in works:
        raise ValueError(f"expected a work in report/references.bib, got {key}; add it or correct the key.")
    return works[key]
