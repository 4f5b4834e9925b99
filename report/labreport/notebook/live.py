"""Numbers in prose: after each cell that runs, what the placeholders and claims below
it stand for is an output of it.

A build reads that output. In a page (JupyterLab, Notebook, one written by nbconvert)
the script beside this file, which goes with the output of the first cell, puts the
texts in their places; wherever it does not run, they can be read.
"""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from textwrap import shorten
from time import time
from typing import Any

from labreport import LabreportError
from labreport.notebook.beside import read_beside
from labreport.notebook.expressions import (
    Found,
    check_claim,
    evaluate,
    replace_placeholders,
)
from labreport.notebook.outline import Code, Outline
from labreport.notebook.prose import Prose
from labreport.notebook.syntax import write


class LiveProse:
    """Evaluates the prose of a notebook, in the kernel of `shell`, after each cell.

    show: displays a message of kind "values", its text and its HTML.
    """

    def __init__(self, prose: Prose, shell: Any, show: Any) -> None:
        self._prose, self._shell, self._show = prose, shell, show
        self._session, self._count, self._place = int(time()), 0, -1
        self._ran: dict[str, int] = {}  # the number of the last run, by the cell's id
        self._values: dict[str, dict[str, Found]] = {}
        self._outdated: set[str] = set()
        self._beside = read_beside(prose.path.stem)
        for callback in [*shell.events.callbacks["post_run_cell"]]:
            former = getattr(callback, "__self__", None)
            if isinstance(former, LiveProse):  # of a first cell that ran before
                shell.events.unregister("post_run_cell", callback)
                self._ran, self._count = former._ran, former._count
        shell.events.register("post_run_cell", self.refresh)

    def refresh(self, result: Any) -> None:
        """Evaluate what stands below the cell that just ran."""
        outline = self._prose.outline
        code = self._find(result.info, outline)
        if code is None or not result.info.store_history:
            return
        self._count += 1
        self._ran[code.cell] = self._count
        claims: list[Found] = []
        if result.success:
            scope = self._shell.user_ns
            placeholders = code.find("placeholders")
            self._values[code.cell] = {
                inner: evaluate(inner, scope) for inner in placeholders
            }
            for inner, found in self._values[code.cell].items():
                if beside := self._beside.get((code.cell, inner)):
                    found["beside"] = beside
            claims = [check_claim(claim, scope) for claim in code.find("claims")]
        outdated = outline.find_outdated(self._ran)
        values = self._values.get(code.cell, {})
        # An output that said what is outdated may be gone: it was this cell's own.
        if values or claims or outdated or self._outdated:
            self._outdated = outdated
            page = {"run": [self._session, self._count], "failed": not result.success}
            page |= {
                "values": values,
                "outdated": [self._ran[cell] for cell in outdated],
            }
            page["claims"] = [_locate(claim, code) for claim in claims]
            lines, facts = _write_lines(values, claims), escape(_json(page))
            html = f'<div class="labreport-values" data-facts="{facts}"><pre>{escape(lines)}</pre></div>'
            told = {"values": values if result.success else {}, "claims": claims}
            self._show(told, lines, {"text/html": html})

    def _find(self, info: Any, outline: Outline) -> Code | None:
        """The cell that ran: by the id that JupyterLab sends, elsewhere the next one
        with its source.
        """
        code, source = [*enumerate(outline.code)], info.raw_cell.strip()
        by_id = [place for place, cell in code if cell.cell == info.cell_id]
        same = [place for place, cell in code if cell.source == source]
        later = [place for place in same if place > self._place]
        if found := by_id or later or same:
            self._place = found[0]
            return outline.code[self._place]
        return None


def make_script(prose: Prose, words: str) -> str:
    """HTML that fills in the page around it: numbers, references, citations, numbers of
    sections and equations.
    """
    outline = prose.outline
    facts = {
        "words": words,
        "answers": prose.answer(outline.tokens),
        "cells": outline.markdown,
    }
    facts["formulas"] = _write_formulas(outline)
    files = (Path(__file__).with_suffix(suffix) for suffix in (".css", ".js"))
    style, script = (file.read_text(encoding="utf-8") for file in files)
    return f"<style>\n{style}</style>\n<script>\n({script.strip()})({_json(facts)});\n</script>"


def _write_formulas(outline: Outline) -> dict[str, str]:
    """MathML of each formula, by what was written: a page that was saved shows it
    without a network.
    """
    if not outline.formulas:
        return {}
    trees = [[{"t": "Plain", "c": [formula]}] for formula in outline.formulas.values()]
    try:
        *written, _ = write(trees, "html", ["--mathml", "--wrap=none"])
    except LabreportError:  # a build names the formula with its cell
        return {}
    return dict(zip(outline.formulas, written, strict=True))


def _locate(claim: Found, code: Code) -> Found:
    """The claim, with the cell's sign and the block in which it stands, and what a page
    says where it fails.
    """
    known = next(known for known in code.prose if claim["claim"] in known["claims"])
    place = known["claims"][claim["claim"]]
    sentence = replace_placeholders(place["sentence"], lambda _: "…")
    start = shorten(sentence, 70, placeholder="…")
    verdict = f"In this run this does not hold: “{start}”"
    if "error" in claim:
        verdict = f"expected a claim that is true or false, got {claim['error']}"
    return {**claim, "sign": known["sign"], "block": place["block"], "verdict": verdict}


def _write_lines(values: Mapping[str, Found], claims: list[Found]) -> str:
    lines = [
        f"{inner} = {it.get('text', it.get('error'))}" for inner, it in values.items()
    ]
    for claim in claims:
        verdict = "holds" if claim.get("holds") else "does not hold"
        if "error" in claim:
            verdict = f"is neither true nor false: {claim['error']}"
        lines.append(f"{claim['claim']} {verdict}")
    return "\n".join(lines)


def _json(facts: Any) -> str:
    return json.dumps(facts, ensure_ascii=False).replace("</", "<\\/")
