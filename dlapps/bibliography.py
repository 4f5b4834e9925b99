"""The works in a file of BibTeX, as far as a citation in a notebook needs them."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"@\w+\s*\{\s*([^,\s]+)\s*,")
_FIELD = re.compile(r"(\w+)\s*=\s*(?=[{\"\d])")
_ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303"}
_ACCENTS |= {'"': "\u0308", "c": "\u0327", "v": "\u030c"}


@dataclass(frozen=True)
class Work:
    """A work that prose may cite: "Radford et al.", its year, its title and its address (of its DOI, or its own)."""

    authors: str
    year: str
    title: str
    address: str

    @property
    def link(self) -> dict[str, str]:
        """Where the work is to be found, and its title."""
        return {"title": self.title} | ({"href": self.address} if self.address else {})


def read_works(path: Path) -> dict[str, Work]:
    """The works in that file, by key."""
    text = path.read_text(encoding="utf-8")
    starts = list(_ENTRY.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {start[1]: _work(text[start.end() : end]) for start, end in zip(starts, ends, strict=True)}


def _work(entry: str) -> Work:
    fields: dict[str, str] = {}
    position = 0
    while found := _FIELD.search(entry, position):
        value = _value(entry[found.end() :])
        fields.setdefault(found[1].lower(), _plain(value))
        position = found.end() + len(value)
    doi = fields.get("doi")
    address = f"https://doi.org/{doi}" if doi else fields.get("url", "")
    authors = _authors(fields.get("author", fields.get("editor", "")))
    return Work(authors, fields.get("year", "n.d."), fields.get("title", ""), address)


def _value(text: str) -> str:
    """What a field's sign of equality is followed by: to the brace, quote or comma that ends it."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth <= 0 and ((letter == "}") or (letter == '"' and place) or letter in ",\n"):
            return text[: place + (letter in '}"')]
    return text


def _plain(value: str) -> str:
    """LaTeX's accents as letters; no braces, dollars, or quotes around."""
    value = re.sub(r"\\([`'^~\"cv])\s*\{?(\w)\}?", lambda it: it[2] + _ACCENTS[it[1]], value)
    value = re.sub(r"\\([&%_$#])", r"\1", re.sub(r"[{}$]", "", value.strip('"')))
    return unicodedata.normalize("NFC", " ".join(value.replace("--", "–").split()))


def _authors(names: str) -> str:
    """The last names as a citation writes them: one, "A and B", or "A et al."."""
    people = [name.strip() for name in names.split(" and ")]
    last = [name.split(",")[0] if "," in name else name.rpartition(" ")[2] for name in people]
    return " and ".join(last) if len(last) < 3 and "others" not in last else f"{last[0]} et al."
