"""Numbers in prose: after each cell that runs, its outputs contain the values of the
placeholders and the verdicts on the claims below it.

A build reads these outputs. In a page (of JupyterLab, of Notebook, or written by
nbconvert) the script beside this file, which the output of the first cell contains,
shows the texts instead of the placeholders. Where the script does not run, the outputs
can be read.
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
from labreport.notebook.claims import FALSE, Claim, check_claim
from labreport.notebook.expressions import evaluate, replace_placeholders
from labreport.notebook.messages import Evaluated, Values, Verdict
from labreport.notebook.outline import CodeCell, Outline
from labreport.notebook.references import References
from labreport.notebook.syntax import write


class LiveProse:
    """Evaluates the prose of a notebook, in the kernel of `shell`, after each cell.

    show: a function that displays a message of kind "values", its text and its HTML.
    """

    def __init__(self, references: References, shell: Any, show: Any) -> None:
        self._references = references
        self._shell = shell
        self._show = show
        self._session = int(time())
        self._count = 0  # of runs
        self._index = -1  # of the cell that ran last
        self._ran: dict[str, int] = {}  # the number of the last run, by the cell's id
        self._values: dict[str, dict[str, Evaluated]] = {}
        self._outdated: set[str] = set()
        self._beside = read_beside(references.path.stem)
        for callback in list(shell.events.callbacks["post_run_cell"]):
            former = getattr(callback, "__self__", None)
            if isinstance(former, LiveProse):  # of a first cell that ran before
                shell.events.unregister("post_run_cell", callback)
                self._ran = former._ran
                self._count = former._count
        shell.events.register("post_run_cell", self.refresh)

    def refresh(self, result: Any) -> None:
        """Evaluate the prose below the cell that just ran."""
        outline = self._references.outline
        code = self._find(result.info, outline)
        if code is None or not result.info.store_history:
            return
        self._count += 1
        self._ran[code.cell] = self._count
        verdicts: list[Verdict] = []
        if result.success:
            self._values[code.cell] = self._evaluate(code)
            for _, claim in code.claims:
                verdicts.append(check_claim(claim.expression, self._shell.user_ns))
        values = self._values.get(code.cell, {})
        outdated = outline.find_outdated(self._ran)
        # The output that said what is outdated may be gone: it was this cell's own.
        has_news = outdated or self._outdated
        self._outdated = outdated
        if not (values or verdicts or has_news):
            return
        page_claims = []
        # Of a cell that failed no claim was checked.
        for verdict, (cell, claim) in zip(verdicts, code.claims, strict=False):
            sentence = _describe(verdict, claim)
            position = {"sign": cell.sign, "block": claim.block}
            page_claims.append({**verdict, **position, "verdict": sentence})
        page = {
            "run": [self._session, self._count],
            "failed": not result.success,
            "values": values,
            "outdated": [self._ran[cell] for cell in outdated],
            "claims": page_claims,
        }
        lines = _write_lines(values, verdicts)
        html = f'<div class="labreport-values" data-facts="{escape(_json(page))}">'
        html += f"<pre>{escape(lines)}</pre></div>"
        message: Values = {"values": {}, "claims": verdicts}
        if result.success:
            message["values"] = values
        self._show(message, lines, {"text/html": html})

    def _find(self, info: Any, outline: Outline) -> CodeCell | None:
        """Find the cell that ran.

        JupyterLab sends its id; elsewhere it is the next cell with this source.
        """
        source = info.raw_cell.strip()
        alike = []
        candidates = []
        for index, code in enumerate(outline.code):
            if code.cell == info.cell_id:
                candidates.append(index)
            if code.source == source:
                alike.append(index)
        candidates += [index for index in alike if index > self._index]
        candidates += alike
        if not candidates:
            return None
        self._index = candidates[0]
        return outline.code[self._index]

    def _evaluate(self, code: CodeCell) -> dict[str, Evaluated]:
        """Evaluate the placeholders below a cell, and add what they were elsewhere."""
        values: dict[str, Evaluated] = {}
        for inner in code.placeholders:
            values[inner] = evaluate(inner, self._shell.user_ns)
            if (code.cell, inner) in self._beside:
                values[inner]["beside"] = self._beside[code.cell, inner]
        return values


def make_script(references: References, words: str) -> str:
    """Write HTML that fills in the page around it: numbers, references, citations,
    numbers of sections and equations.

    Python finds all pieces of text to be replaced; the script only looks for these.
    """
    outline = references.outline
    cells = []
    placeholders: list[str] = []
    for cell in outline.prose:
        placeholders += cell.placeholders
        numbers = {"headings": cell.headings, "equations": cell.equations}
        cells.append({"sign": cell.sign, "question": cell.question, **numbers})
    chapter = {
        "words": words,
        "answers": references.answer(outline.tokens),
        "placeholders": placeholders,
        "formulas": _write_formulas(outline),
        "cells": cells,
    }
    folder = Path(__file__).parent
    style = (folder / "live.css").read_text(encoding="utf-8")
    script = (folder / "live.js").read_text(encoding="utf-8").strip()
    call = f"({script})({_json(chapter)});"
    return f"<style>\n{style}</style>\n<script>\n{call}\n</script>"


def _write_formulas(outline: Outline) -> dict[str, str]:
    """Write each formula as MathML, by pandoc, so that a saved page shows it without a
    network.
    """
    if not outline.formulas:
        return {}
    trees = [[{"t": "Plain", "c": [formula]}] for formula in outline.formulas.values()]
    try:
        written = write(trees, "html", ["--mathml", "--wrap=none"])[:-1]
    except LabreportError:  # a build names the formula with its cell
        return dict.fromkeys(outline.formulas, "")
    return dict(zip(outline.formulas, written, strict=True))


def _describe(verdict: Verdict, claim: Claim) -> str:
    """Write what a page says at a sentence whose claim fails."""
    if "error" in verdict:
        return f"expected a claim that is true or false, got {verdict['error']}"
    sentence = replace_placeholders(claim.sentence, lambda _: "…")
    start = shorten(sentence, 70, placeholder="…")
    return f"{FALSE}: “{start}”"


def _write_lines(values: Mapping[str, Evaluated], claims: list[Verdict]) -> str:
    lines = []
    for inner, value in values.items():
        lines.append(f"{inner} = {value.get('text', value.get('error'))}")
    for claim in claims:
        verdict = "holds" if claim.get("holds") else "does not hold"
        if "error" in claim:
            verdict = f"is neither true nor false: {claim['error']}"
        lines.append(f"{claim['claim']} {verdict}")
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
