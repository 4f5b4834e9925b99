"""The works in a file of BibTeX, as far as a citation in a notebook needs them; pandoc reads it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlapps import DlappsError
from dlapps.notebook.syntax import run_pandoc


@dataclass(frozen=True)
class Work:
    """A work that prose may cite: "Radford et al.", its year, its title and its address (of its DOI, or its own)."""

    authors: str
    year: str
    title: str
    address: str

    @property
    def link(self) -> dict[str, str]:
        """Where the work is to be found, where that is a page, and its title: an address such as javascript: runs."""
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
