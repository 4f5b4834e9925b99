"""What references and citations stand for: common rules, and the answers for a notebook
that is worked in.

A build applies the same rules to pandoc's syntax tree, in `editions/prose.py`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from labreport import LabreportError, expected, paths
from labreport.chapters import find_chapters
from labreport.notebook.expressions import CODE
from labreport.notebook.numbering import Numbering
from labreport.notebook.outline import KEY, REFERENCE_OR_CITATION, Outline, read_outline
from labreport.notebook.syntax import Node, Tree, parse, run_pandoc, walk, write

# "text"; the "href" of another notebook, or the "kind", "reference" or "error".
Answer = dict[str, str]

REFERENCE = re.compile(r"@(fig|tab|sec|eq)-(?:(\d+|[A-Z])-)?(.+)")  # of a whole key
KEYS = re.compile(rf"(?<!\w)@({KEY})")
# What code shows is no reference.
_CODE_OR_TOKEN = re.compile(f"{CODE}|(?P<token>{REFERENCE_OR_CITATION.pattern})")
# In a caption or a cell of a table what is Markdown (references, citations, formulas
# and code), or a sign that is text.
_TEXT = re.compile(
    rf"(?P<markdown>{REFERENCE_OR_CITATION.pattern}|\$(?=\S)[^$]*(?<=\S)\$(?!\d)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|[!#$&(-+.:<>@\[-`{-~-]"
)
_SPACE = {"t": "Space"}
_OPENING = {"t": "Str", "c": "("}
_CLOSING = {"t": "Str", "c": ")"}


def citeproc() -> list[str]:
    """Return pandoc's options that write citations as author and year, and the works
    cited.

    Without a bibliography there are none.
    """
    bibliography = paths.report() / "references.bib"
    if not bibliography.exists():
        return []
    return [
        "--citeproc",
        f"--bibliography={bibliography}",
        "--metadata=link-citations:true",
    ]


def read_keys(path: Path) -> set[str]:
    """Read the keys of the works in that file.

    Raises LabreportError where pandoc cannot read it.
    """
    options = ["--from", "biblatex", "--to", "csljson"]
    try:
        entries = run_pandoc(path.read_text(encoding="utf-8"), options)
    except LabreportError as error:
        raise LabreportError(f"{path.name}: {error}") from error
    return {entry["id"] for entry in json.loads(entries)}


def find_tokens(markdown: str) -> list[str]:
    """List the references and citations of a text, without those that code shows."""
    matches = _CODE_OR_TOKEN.finditer(markdown)
    return [match["token"] for match in matches if match["token"]]


def write_text(text: str) -> str:
    """Write a caption or a table's cell as Markdown, on one line.

    It is text, except for references, citations, $x$ and `code`.
    """

    def escape(match: re.Match[str]) -> str:
        return match["markdown"] or f"\\{match[0]}"

    return _TEXT.sub(escape, " ".join(text.split()))


def write_references(node: Node, refer: Callable[[str], Node | None]) -> Tree:
    """Write a citation with its references in the words of `refer`; other nodes stay.

    refer: a function that returns the node for a key, or None for a work. [see
    @fig-one, p. 3; @work] becomes (see Figure 1.1, p. 3) (Work 2015), and @fig-one
    [left] becomes Figure 1.1 (left).
    """
    if node["t"] != "Cite":
        return [node]
    citations, typed = node["c"]
    works = []
    parts: list[Tree] = []
    for citation in citations:
        named = refer(citation["citationId"])
        if named:
            parts += _write_reference(citation, named)
        else:
            works.append(citation)
    if works:
        index = 0 if citations[0] in works else len(parts)
        parts.insert(index, [{"t": "Cite", "c": [works, typed]}])
    written: Tree = []
    for part in parts:
        if written:
            written.append(_SPACE)
        written += part
    return written


def _write_reference(citation: Node, named: Node) -> list[Tree]:
    """Write a reference, with what was typed before and behind it as text or in
    brackets.
    """
    before = citation["citationPrefix"]
    behind = citation["citationSuffix"]
    if citation["citationMode"]["t"] == "AuthorInText":
        parts: list[Tree] = [[named]]
        if behind:
            parts.append([_OPENING, *behind, _CLOSING])
        return parts
    if before:
        before = [*before, _SPACE]
    return [[_OPENING, *before, named, *behind, _CLOSING]]


def reference_label(key: str, chapter: str) -> str | None:
    """Return the label to which `@key` refers in a chapter, such as fig-1-cat; None for
    a work.
    """
    reference = REFERENCE.fullmatch(f"@{key}")
    if not reference:
        return None
    kind, number, name = reference.groups()
    return f"{kind}-{number or chapter}-{name}"


def require_known(
    key: str, label: str | None, labels: Collection[str], works: Collection[str]
) -> None:
    """Raise LabreportError unless the label to which a key refers is there.

    A key without a label must be one of the works.
    """
    if label and label not in labels:
        raise expected("a reference to something shown", f"@{label}", "correct it")
    if not label and key not in works:
        raise expected(
            "a work in report/references.bib", f"@{key}", "add it or correct the key"
        )


class References:
    """Answers what a notebook's references and citations stand for.

    path: its file. number: its chapter's. Files are read again when they have changed.
    """

    def __init__(self, path: Path, number: str) -> None:
        self.path = path
        self.number = number
        self._paths: dict[str, Path] = {}  # by the number of the chapter
        for name, other in find_chapters().items():
            self._paths[other] = path.with_name(f"{name}.ipynb")
        self._paths[number] = path
        self._read: dict[Path, tuple[int, Any]] = {}

    @property
    def outline(self) -> Outline:
        """Return the outline of the notebook's file as it is now; empty without the
        file.
        """
        return self._chapter(self.path, self.number)

    def answer(self, tokens: Iterable[str]) -> dict[str, Answer]:
        """Answer each @fig-name, @key or [see @fig-name; @key, p. 3].

        An answer of the kind "error" says in one sentence what is wrong.
        """
        answers: dict[str, Answer] = {}
        citations: list[str] = []
        for token in tokens:
            try:
                references = [self._refer(key) for key in KEYS.findall(token)]
            except LabreportError as error:
                where = self.path.name
                if token in self.outline.tokens:
                    where += f", cell {self.outline.tokens[token]}"
                answers[token] = {"text": f"{where}: {error}", "kind": "error"}
                continue
            if token.startswith("@") and references[0]:
                answers[token] = references[0]
            elif token not in citations:
                citations.append(token)
        if citations:
            texts = self._write_citations(citations)
            for token, text in zip(citations, texts, strict=True):
                answers[token] = {"text": text}
        return answers

    def resolve(self, markdown: str) -> str:
        """Return the text with its references and citations in words."""
        answers = self.answer(find_tokens(markdown))

        def write_token(match: re.Match[str]) -> str:
            token = match["token"]
            return answers[token]["text"] if token else match[0]

        return _CODE_OR_TOKEN.sub(write_token, markdown)

    def _write_citations(self, citations: list[str]) -> list[str]:
        def name(key: str) -> Node | None:
            answer = self._refer(key)
            return {"t": "Str", "c": answer["text"]} if answer else None

        def change(tree: Tree) -> Tree:
            return [part for node in tree for part in write_references(node, name)]

        options = [*citeproc(), "--metadata=suppress-bibliography:true", "--wrap=none"]
        return write(walk(parse(citations), change), "plain", options)[:-1]

    def _refer(self, key: str) -> Answer:
        """Answer a reference; the answer is empty for a work of the bibliography."""
        label = reference_label(key, self.number)
        if not label:
            works = self._cached(paths.report() / "references.bib", read_keys, set())
            require_known(key, label, (), works)
            return {}
        number = label.split("-")[1]
        path = self._paths.get(number)
        outline = self._chapter(path, number) if path else Outline(Numbering(number))
        require_known(key, label, outline.labels, ())
        words = outline.labels[label].words
        if path and path != self.path:
            return {"text": words, "href": path.name}
        return {"text": words, "kind": "reference"}

    def _chapter(self, path: Path, number: str) -> Outline:
        read = partial(read_outline, number=number)
        return self._cached(path, read, Outline(Numbering(number)))

    def _cached(self, path: Path, read: Callable[[Path], Any], absent: Any) -> Any:
        """Return the content of a file, read again if the file has changed."""
        if not path.is_file():
            return absent
        changed = path.stat().st_mtime_ns
        if path not in self._read or self._read[path][0] != changed:
            self._read[path] = (changed, read(path))
        return self._read[path][1]
