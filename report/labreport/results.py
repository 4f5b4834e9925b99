"""Committed results of long computations, as studies wrote them.

    study = results.load("mnistm")
    study.score("DANN", "target_accuracy").mean  # over seeds; deviation, num_seeds
    study.difference("DANN", "source only", "target_accuracy").low  # in points
    study.history("DANN", "target_accuracy")  # (seeds, epochs)
    study.scores("DANN").source_accuracy  # each score by its name

Numbers lie in NAME.json, arrays in NAME.npz, both in data/results. The
part "runs" of a file is {run: {seed: entry}}. An entry has

- "scores" {name: number or numbers}: what was measured at the end;
- "history" {name: numbers}, if any: what was measured in the course of the training;
- "settings" {name: value}, if any: what the run was made with.

The entry of a training that diverged has no scores and gives the reason as "diverged".
The part "shares" lists the scores that are accuracies or other shares of a whole:
differences of these are given in percentage points. All other scores are plain numbers.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labreport import check_name, environment, expected, intervals
from labreport.intervals import Interval
from labreport.report import find_report, write_atomically

Entry = dict[str, Any]  # what one seed of a run gave
# A run by its name, or what has no seeds, such as real images, by its scores.
Run = str | Mapping[str, float]


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
        """Summarise one value for each seed, (S,), or several, (S, N), which count as
        their mean.
        """
        rows = np.asarray(values, float)
        means = rows.reshape(len(rows), -1).mean(1)
        deviation = 0.0
        if len(means) > 1:
            deviation = float(means.std(ddof=1))
        return cls(float(means.mean()), deviation, len(means))

    def __format__(self, form: str) -> str:
        form = form or ".3g"
        mean = f"{self.mean:{form}}"
        if self.num_seeds > 1:
            return f"{mean} ± {self.deviation:{form}}"
        return mean


@dataclass(frozen=True)
class Study:
    """The numbers of a study: the parts of its file, and its runs {run: {seed: entry}}.

    Methods raise LabreportError for a name that is not there. A seed whose training
    diverged has an entry, but no score counts it.
    """

    name: str
    parts: dict[str, Any]
    runs: dict[str, dict[int, Entry]]
    shares: frozenset[str]

    def __getitem__(self, part: str) -> Any:
        """Return a part of the file, such as "made", as it is there."""
        return _look_up("a part", part, self.parts)

    def values(self, run: Run, score: str) -> np.ndarray:
        """Return the score of each seed, float (S,), or (S, N) for N values a seed.

        For a score that has only a history, this is its last value.
        """
        values = []
        for scores in self._final_scores(run):
            values.append(_look_up("a score", score, scores))
        return np.array(values)

    def history(self, run: str, score: str) -> np.ndarray:
        """Return the course of a score in the training, (S, T): a row for each seed."""
        rows = []
        for entry in self._finished(run):
            rows.append(_look_up("a history", score, entry.get("history", {})))
        return np.array(rows)

    def mean(self, run: str, score: str) -> float:
        """Return the mean of all values over seeds."""
        return self.score(run, score).mean

    def score(self, run: Run, score: str) -> Score:
        """Return mean and deviation of a score over seeds."""
        return Score.over(self.values(run, score))

    def difference(
        self, first: Run, second: Run, score: str, number: int = 1
    ) -> Interval:
        """Return by how much the first run's score exceeds the second's: Welch's
        interval over seeds, corrected for this number of comparisons.

        It is in percentage points for shares. Raises LabreportError for fewer than two
        seeds.
        """
        unit = 100 if score in self.shares else 1
        first_values = unit * self.values(first, score)
        second_values = unit * self.values(second, score)
        return intervals.compare(first_values, second_values, number)

    def scores(self, run: Run) -> SimpleNamespace:
        """Return the scores that each seed of a run has, as attributes, as in
        `study.scores("DANN").accuracy`.
        """
        entries = self._final_scores(run)
        found = {}
        for name in entries[0]:
            if all(name in entry for entry in entries):
                found[name] = self.score(run, name)
        return SimpleNamespace(**found)

    def join(self, other: Study) -> Study:
        """Return this study with the runs of another; "RUN" of "flow" becomes "flow
        RUN".
        """
        runs = dict(self.runs)
        for run, entries in other.runs.items():
            runs[f"{other.name} {run}"] = entries
        return replace(self, runs=runs, shares=self.shares | other.shares)

    def _finished(self, run: str) -> list[Entry]:
        entries = _look_up("a run", run, self.runs)
        return [entry for entry in entries.values() if "diverged" not in entry]

    def _final_scores(self, run: Run) -> list[Mapping[str, Any]]:
        """Return the scores of each seed; of a history, the last value is one."""
        if not isinstance(run, str):
            return [run]
        final = []
        for entry in self._finished(run):
            history = entry.get("history", {})
            scores = {name: values[-1] for name, values in history.items()}
            final.append(scores | entry["scores"])
        return final


def load(name: str) -> Study:
    """Read the numbers of a study. Raises LabreportError if they are not there."""
    parts = json.loads(_find(f"{name}.json").read_text())
    runs = {}
    for run, entries in parts.get("runs", {}).items():
        seeds = sorted(int(seed) for seed in entries)
        runs[run] = {seed: entries[str(seed)] for seed in seeds}
    return Study(name, parts, runs, frozenset(parts.get("shares", ())))


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a study. Raises LabreportError if they are not there."""
    with np.load(_find(f"{name}.npz")) as file:
        return dict(file)


def save(name: str, parts: Mapping[str, object], seeds: Sequence[int]) -> Path:
    """Write a study's numbers and, as "made", what made them: commit, date, versions,
    machine and seeds.

    Returns the file.
    """
    report = find_report()
    made = environment.describe(report) | {"seeds": list(seeds)}
    content = json.dumps({"made": made, **parts}, indent=1) + "\n"
    # A list of numbers on one line: half the size, and a readable diff.
    content = re.sub(r"\[\n([^\[\]{}\"]+)\]", _on_one_line, content)
    return write_atomically(report.results / f"{name}.json", content.encode())


def save_arrays(
    name: str, arrays: Mapping[str, np.ndarray], folder: Path | None = None
) -> Path:
    """Write NAME.npz for `numpy.load`; the same arrays give the same file.

    folder: by default the report's data/results. Returns the file.
    """
    file = io.BytesIO()
    # mypy takes any array for the option allow_pickle.
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    path = (folder or find_report().results) / f"{name}.npz"
    return write_atomically(path, file.getvalue())


def _on_one_line(match: re.Match[str]) -> str:
    numbers = match[1].split()
    return f"[{' '.join(numbers)}]"


def _find(filename: str) -> Path:
    path = find_report().results / filename
    if not path.is_file():
        remedy = "correct the name, or run the study that writes it"
        raise expected(f"results in {path}", "no such file", remedy)
    return path


def _look_up(what: str, name: str, entries: Mapping[str, Any]) -> Any:
    check_name(what, name, entries)
    return entries[name]
