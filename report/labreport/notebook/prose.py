"""What references and citations in a notebook's prose stand for, as the notebook shows
them while it is worked in.

A build has its own road, by pandoc.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from labreport import LabreportError, paths
from labreport.notebook.outline import KEY, REFERENCE_OR_CITATION, Outline, read_outline
from labreport.notebook.syntax import Node, Tree, parse, run_pandoc, walk, write

# "text"; the "href" of another notebook, or the "kind", "reference" or "error".
Answer = dict[str, str]

REFERENCE = re.compile(r"@(fig|tab|sec|eq)-(?:(\d+|[A-Z])-)?(.+)")  # of a whole key
KEYS = re.compile(rf"(?<!\w)@({KEY})")
# In a caption or a cell of a table what is Markdown (references, citations, formulas
# and code), or a sign that is not.
_TEXT = re.compile(
    rf"(?P<kept>{REFERENCE_OR_CITATION.pattern}|\$(?=\S)[^$]*(?<=\S)\$(?!\d)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|[!#$&(-+.:<>@\[-`{-~-]"
)
_SPACE, _OPENING, _CLOSING = (
    {"t": "Space"},
    {"t": "Str", "c": "("},
    {"t": "Str", "c": ")"},
)


def citeproc() -> list[str]:
    """pandoc's options that write citations as author and year, and the works cited;
    none without a bibliography.
    """
    bibliography = paths.report() / "references.bib"
    options = [
        "--citeproc",
        f"--bibliography={bibliography}",
        "--metadata=link-citations:true",
    ]
    return options * bibliography.exists()


def read_keys(path: Path) -> set[str]:
    """The keys of the works in that file; LabreportError where pandoc cannot read it."""
    options = ["--from", "biblatex", "--to", "csljson"]
    try:
        entries = run_pandoc(path.read_text(encoding="utf-8"), options)
    except LabreportError as error:
        raise LabreportError(f"{path.name}: {error}") from error
    return {entry["id"] for entry in json.loads(entries)}


def write_text(text: str) -> str:
    """Markdown of a caption or a table's cell, on one line: text, but for references,
    citations, $x$ and `code`.
    """
    return _TEXT.sub(
        lambda found: found["kept"] or f"\\{found[0]}", " ".join(text.split())
    )


def write_references(node: Node, refer: Callable[[str], Node | None]) -> Tree:
    """A citation's references as `refer` writes a key (None: a work's), with all beside
    them; other nodes as they are.

    [see @fig-one, p. 3; @work] becomes (see Figure 1.1, p. 3) (Work 2015), and @fig-one
    [left] Figure 1.1 (left).
    """
    if node["t"] != "Cite":
        return [node]
    citations, typed = node["c"]
    works, parts = [], []
    for citation in citations:
        before, behind = citation["citationPrefix"], citation["citationSuffix"]
        if not (named := refer(citation["citationId"])):
            works.append(citation)
        elif citation["citationMode"]["t"] == "AuthorInText":
            parts += [[named], [_OPENING, *behind, _CLOSING] if behind else []]
        else:
            parts.append(
                [_OPENING, *before, *[_SPACE] * bool(before), named, *behind, _CLOSING]
            )
    cited = [{"t": "Cite", "c": [works, typed]}] * bool(works)
    parts.insert(len(parts) * (citations[0] not in works), cited)
    return [node for part in parts if part for node in (_SPACE, *part)][1:]


def reference_label(key: str, chapter: str) -> str | None:
    """The label that `@key` refers to in a chapter, as fig-1-cat; None for a citation."""
    found = REFERENCE.fullmatch(f"@{key}")
    return f"{found[1]}-{found[2] or chapter}-{found[3]}" if found else None


def require_known(
    key: str, label: Any, labels: Collection[str], works: Collection[str]
) -> None:
    """A LabreportError unless the label that a key refers to is there, or else, without
    a label, the work.
    """
    if label and label not in labels:
        raise LabreportError(
            f"expected a reference to something shown, got @{label}; correct it."
        )
    if not label and key not in works:
        remedy = "add it or correct the key"
        raise LabreportError(
            f"expected a work in report/references.bib, got @{key}; {remedy}."
        )


class Prose:
    """The answers to a notebook's references and citations: path is its file, number
    its chapter's.

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
        """What stands in the place of each @fig-name, @key or [see @fig-name; @key, p.
        3].
        """
        answers: dict[str, Answer] = {}
        cited = []
        for token in tokens:
            try:
                named = [self._refer(key) for key in KEYS.findall(token)]
                if token.startswith("@") and named[0]:
                    answers[token] = named[0]
                else:
                    cited.append(token)
            except LabreportError as error:
                where = f"{self.path.name}, cell {self.outline.tokens.get(token)}"
                answers[token] = {"text": f"{where}: {error}", "kind": "error"}
        return answers | self._cite(list(dict.fromkeys(cited)))

    def resolve(self, markdown: str) -> str:
        """The text with its references and citations in words."""
        answers = self.answer(REFERENCE_OR_CITATION.findall(markdown))
        return REFERENCE_OR_CITATION.sub(
            lambda found: answers[found[0]]["text"], markdown
        )

    def _cite(self, citations: list[str]) -> dict[str, Answer]:
        def change(tree: Tree) -> Tree:
            return [
                part for node in tree for part in write_references(node, self._name)
            ]

        options = [*citeproc(), "--metadata=suppress-bibliography:true", "--wrap=none"]
        texts = (
            write(walk(parse(citations), change), "plain", options) if citations else []
        )
        return {
            token: {"text": text} for token, text in zip(citations, texts, strict=False)
        }

    def _name(self, key: str) -> Node | None:
        answer = self._refer(key)
        return {"t": "Str", "c": answer["text"]} if answer else None

    def _refer(self, key: str) -> Answer:
        """What a reference stands for, or nothing for a work that is known."""
        label = reference_label(key, self.number)
        if not label:
            works = self._cached(paths.report() / "references.bib", read_keys, set())
            require_known(key, label, (), works)
            return {}
        number = label.split("-")[1]
        names = {of: name for name, of in paths.chapters().items()} | {
            self.number: self.path.stem
        }
        path = (
            self.path.with_name(f"{names[number]}.ipynb") if number in names else None
        )
        outline = self._chapter(path, number) if path else Outline(number)
        require_known(key, label, outline.labels, ())
        if label in outline.duplicates:
            raise LabreportError(
                f"expected one use of the label {label}, got several; rename one."
            )
        where = (
            {"href": path.name} if path and path != self.path else {"kind": "reference"}
        )
        return {"text": outline.labels[label]["text"]} | where

    def _chapter(self, path: Path, number: str) -> Outline:
        return self._cached(
            path, lambda path: read_outline(path, number), Outline(number)
        )

    def _cached(self, path: Path, read: Any, absent: Any) -> Any:
        """The content of a file, read again when the file changed."""
        if not path.is_file():
            return absent
        changed = path.stat().st_mtime_ns
        if path not in self._read or self._read[path][0] != changed:
            self._read[path] = (changed, read(path))
        return self._read[path][1]
