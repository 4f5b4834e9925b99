"""Committed results of long computations, as `labreport study NAME` wrote them.

    study = results.load("mnistm")
    runs = {"source only": "source only, paper's settings", "DANN": "practical"}
    scores = ["source_accuracy", "target_accuracy"]
    table = study.table(runs, scores, gain_over="source only")
    table["DANN"].target_accuracy.mean  # over seeds; its deviation, num_seeds
    table["DANN"].gain.low  # of the last score, in percentage points
    study.history("practical", "target_accuracy")  # (seeds, epochs)

Numbers lie in NAME.json, arrays and pictures in NAME.npz, both in data/results. The
part "runs" of a file is {run: {seed: entry}}. An entry has

- "scores" {name: number or numbers}: what was measured at the end;
- "history" {name: numbers}, if any: what was measured in the course of the training;
- "settings" {name: value}, if any: what the run was made with.

The entry of a training that diverged has no scores and gives the reason as "diverged".
The part "shares" lists the scores that are accuracies or other shares of a whole:
differences of these are given in percentage points. All other scores are plain numbers.
The part "heads" {score: head} spells heads of tables that differ from the score's name.
"""

from __future__ import annotations

import io
import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from labreport import check_name, environment, expected, intervals, paths
from labreport.intervals import Interval

Entry = dict[str, Any]  # what one seed of a run gave
NUMBER_WORDS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@dataclass(frozen=True)
class Score:
    """Mean and sample standard deviation of a score over seeds.

    In a format it is "0.713 ± 0.012", or "0.713" for a single seed; without one each
    number has three digits.
    """

    mean: float
    deviation: float
    num_seeds: int

    @classmethod
    def over(cls, values: ArrayLike) -> Score:
        """Summarise one value for each seed; several values for a seed count as their
        mean.
        """
        rows = np.asarray(values, float)
        means = rows.reshape(len(rows), -1).mean(1).tolist()
        deviation = statistics.stdev(means) if len(means) > 1 else 0.0
        return cls(statistics.fmean(means), deviation, len(means))

    def __format__(self, form: str) -> str:
        form = form or ".3g"
        mean = f"{self.mean:{form}}"
        if self.num_seeds > 1:
            return f"{mean} ± {self.deviation:{form}}"
        return mean


@dataclass(frozen=True)
class Row:
    """One run of a table: `row.target_accuracy` is a `Score`.

    gain: by how much the last score exceeds the baseline's, if the table has gains.
    """

    scores: dict[str, Score]
    gain: Interval | None = None

    def __getattr__(self, name: str) -> Score:
        # `copy` asks for attributes before there are any scores.
        scores = vars(self).get("scores", {})
        check_name("a score", name, scores, AttributeError)
        return scores[name]


@dataclass(frozen=True)
class Table:
    """Runs that `Study.table` compared: `table[label]` is a `Row`.

    columns, rows: what is printed. family: words for the caption that say how many
    gains hold together, such as "corrected for three comparisons"; empty without gains.
    """

    columns: list[str]
    rows: list[list[str]]
    family: str
    runs: dict[str, Row]

    def __getitem__(self, label: str) -> Row:
        return _look_up(label, self.runs, "a row")


@dataclass(frozen=True)
class Study:
    """The numbers of a study: the parts of its file, and its runs {run: {seed: entry}}.

    Methods raise LabreportError for a name that is not there. A seed whose training
    diverged has an entry, but no score counts it.
    """

    name: str
    parts: dict[str, Any]
    runs: dict[str, dict[int, Entry]]
    shares: frozenset[str] = frozenset()
    heads: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, part: str) -> Any:
        """Return a part of the file, such as "made", as it is there."""
        return _look_up(part, self.parts, "a part")

    def values(self, run: str, score: str) -> np.ndarray:
        """Return the score of each seed, float (S,), or (S, N) for N values a seed.

        For a score that has only a history, this is its last value.
        """
        values = []
        for entry in self._finished(run).values():
            values.append(_look_up(score, _final_scores(entry), "a score"))
        return np.array(values)

    def mean(self, run: str, score: str) -> float:
        """Return the mean of all values over seeds."""
        return float(self.values(run, score).mean())

    def table(
        self,
        runs: Iterable[str] | Mapping[str, Any],
        scores: Iterable[str] | Mapping[str, str],
        gain_over: str | None = None,
    ) -> Table:
        """Runs in rows and their scores in columns, for `chapter.show_table`.

        runs: their names, or {label: run}, where a dictionary {score: value} stands for
        a run that has no seeds. scores: their names, or {score: format}. A run that
        lacks a score which others have gets "–".

        gain_over: the label of a baseline. All other runs then have a gain over it in
        the last score: Welch's interval, corrected for the number of these runs, in
        percentage points for shares. Raises LabreportError for a name that is not
        there, and where gains need more seeds.
        """
        if not isinstance(runs, Mapping):
            runs = {run: run for run in runs}
        if not isinstance(scores, Mapping):
            scores = dict.fromkeys(scores, ".3f")
        last_score = list(scores)[-1]
        gains: dict[str, Interval] = {}
        if gain_over is not None:
            gains = self._gains_over(gain_over, runs, last_score)
        table_rows = {}
        for label, run in runs.items():
            shown = [score for score in scores if self._is_due(run, score)]
            sums = {score: self._sum_up(run, score) for score in shown}
            table_rows[label] = Row(sums, gains.get(label))

        columns = ["", "seeds"]
        columns += [self.heads.get(score, score.replace("_", " ")) for score in scores]
        cells = [_write_row(label, row, scores) for label, row in table_rows.items()]
        if gains:
            columns += ["gain", "low", "high"]
            form = "+.1f" if last_score in self.shares else f"+{scores[last_score]}"
            for row, written in zip(table_rows.values(), cells, strict=True):
                written += _write_gain(row.gain, form)
        return Table(columns, cells, _name_family(len(gains)), table_rows)

    def join(self, other: Study) -> Study:
        """Return this study with the runs of another; "RUN" of "flow" becomes "flow
        RUN".
        """
        runs = dict(self.runs)
        for run, entries in other.runs.items():
            runs[f"{other.name} {run}"] = entries
        shares = self.shares | other.shares
        return replace(self, runs=runs, shares=shares, heads=self.heads | other.heads)

    def history(self, run: str, score: str) -> np.ndarray:
        """Return the course of a score during the training, (S, T): a row for each
        seed.
        """
        rows = []
        for entry in self._finished(run).values():
            history = _look_up("history", entry, "a part of the entry")
            rows.append(_look_up(score, history, "a score"))
        return np.array(rows)

    def _gains_over(
        self, baseline: str, runs: Mapping[str, Any], score: str
    ) -> dict[str, Interval]:
        unit = 100 if score in self.shares else 1
        values = {}
        for label, run in runs.items():
            if isinstance(run, str):
                values[label] = unit * self.values(run, score)
        check_name("a baseline", baseline, values)
        base = values.pop(baseline)
        gains = {}
        for label, compared in values.items():
            gains[label] = intervals.compare(compared, base, len(values))
        return gains

    def _is_due(self, run: str | Mapping[str, float], score: str) -> bool:
        """Return whether a run must have the score: it has it, or no run has it.

        In the second case the name must be wrong, and looking it up says so.
        """
        if not isinstance(run, str) or run not in self.runs:
            return True
        return self._has_score(run, score) or not any(
            self._has_score(other, score) for other in self.runs
        )

    def _has_score(self, run: str, score: str) -> bool:
        return any(score in _final_scores(entry) for entry in self.runs[run].values())

    def _sum_up(self, run: str | Mapping[str, float], score: str) -> Score:
        if isinstance(run, str):
            return Score.over(self.values(run, score))
        return Score(float(_look_up(score, run, "a score")), 0.0, 0)

    def _finished(self, run: str) -> dict[int, Entry]:
        entries = _look_up(run, self.runs, "a run")
        return {seed: e for seed, e in entries.items() if "diverged" not in e}


def load(name: str) -> Study:
    """Read the numbers of a study. Raises LabreportError if they are not there."""
    parts = json.loads(_path(f"{name}.json").read_text())
    runs = {}
    for run, entries in parts.get("runs", {}).items():
        seeds = sorted(int(seed) for seed in entries)
        runs[run] = {seed: entries[str(seed)] for seed in seeds}
    shares = frozenset(parts.get("shares", ()))
    return Study(name, parts, runs, shares, parts.get("heads", {}))


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a study. Raises LabreportError if they are not there."""
    with np.load(_path(f"{name}.npz")) as file:
        return dict(file)


def load_pictures(name: str) -> dict[str, np.ndarray]:
    """Read the pictures of a study, uint8 (H, W, 3), from its arrays of PNG or JPEG."""
    pictures = {}
    for picture, encoded in load_arrays(name).items():
        pictures[picture] = np.asarray(Image.open(io.BytesIO(encoded.data)))
    return pictures


def save(name: str, parts: Mapping[str, object], seeds: Sequence[int]) -> Path:
    """Write a study's numbers and, as "made", what made them: commit, date, versions,
    machine and seeds.

    Returns the file.
    """
    made = environment.describe() | {"seeds": list(seeds)}
    content = json.dumps({"made": made, **parts}, indent=1) + "\n"
    # A list of numbers on one line: half the size, and a readable diff.
    content = re.sub(r"\[\n([^\[\]{}\"]+)\]", _on_one_line, content)
    return paths.write_atomically(paths.results() / f"{name}.json", content.encode())


def _on_one_line(match: re.Match[str]) -> str:
    numbers = match[1].split()
    return f"[{' '.join(numbers)}]"


def save_arrays(
    name: str, arrays: Mapping[str, np.ndarray], folder: Path | None = None
) -> Path:
    """Write NAME.npz for `numpy.load`; the same arrays give the same file.

    folder: by default the report's data/results.
    """
    file = io.BytesIO()
    # mypy takes any array for the option allow_pickle.
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    path = (folder or paths.results()) / f"{name}.npz"
    return paths.write_atomically(path, file.getvalue())


def _path(filename: str) -> Path:
    path = paths.results() / filename
    if not path.is_file():
        remedy = "correct the name, or run the study that writes it"
        raise expected(f"results in {path}", "no such file", remedy)
    return path


def _final_scores(entry: Entry) -> dict[str, Any]:
    """Return the scores of an entry; for what is recorded during a training, the last
    values.
    """
    scores = {}
    for name, values in entry.get("history", {}).items():
        scores[name] = values[-1]
    return scores | entry.get("scores", {})


def _write_row(label: str, row: Row, formats: Mapping[str, str]) -> list[str]:
    num_seeds = max((score.num_seeds for score in row.scores.values()), default=0)
    cells = [label, str(num_seeds or "–")]
    for score, form in formats.items():
        cells.append(f"{row.scores[score]:{form}}" if score in row.scores else "–")
    return cells


def _write_gain(gain: Interval | None, form: str) -> list[str]:
    if gain is None:
        return ["–"] * 3
    return [f"{value:{form}}" for value in gain]


def _name_family(number: int) -> str:
    if number == 0:
        return ""
    if number == 1:
        return "a single comparison"
    words = dict(enumerate(NUMBER_WORDS, start=2))
    return f"corrected for {words.get(number, number)} comparisons"


def _look_up(name: str, entries: Mapping[str, Any], what: str) -> Any:
    check_name(what, name, entries)
    return entries[name]
