"""Committed results of long computations: what `labreport study NAME` wrote, and how
studies write it.

    study = results.load("mnistm") runs = {"source only": "source only, paper's
    settings", "DANN": "practical"} table = study.table(runs, ["source_accuracy",
    "target_accuracy"], gain_over="source only") table["DANN"].target_accuracy.mean
    # over seeds; its deviation, num_seeds table["DANN"].gain.low
    # of the last score, in percentage points study.history("practical",
    "target_accuracy")       # one row a seed, one column an epoch

Numbers lie in NAME.json, arrays and pictures in NAME.npz, both in data/results. A
file's part "runs" is {run: {seed: entry}}, and an entry has "scores" {name: number or
numbers}, which were measured at the end, and where there are such "history" {name:
numbers}, which were measured in the course, and "settings" {name: value}, with which it
was made. A training that diverged has no scores and says why, as "diverged". The part
"shares" names the scores that are accuracies or other shares of a whole: their
differences are told in percentage points. All others are plain numbers.
"""

from __future__ import annotations

import io
import json
import re
import statistics
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from labreport import LabreportError, check_name, environment, intervals, paths
from labreport.intervals import Interval

Entry = dict[str, Any]  # what one seed of a run gave
# Heads of tables that a score's name cannot spell.
HEADS = {"frechet_ratio": "Fréchet ratio", "imagenet_ratio": "ImageNet ratio"}
HEADS |= {"gan_train_accuracy": "GAN-train", "last_real_probability": "last D(x)"}
COUNTS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
]


@dataclass(frozen=True)
class Score:
    """A score over seeds: mean and sample standard deviation; in a format "0.713 ±
    0.012", of one seed "0.713".
    """

    mean: float
    deviation: float
    num_seeds: int

    @classmethod
    def over(cls, values: ArrayLike) -> Score:
        """Of one value a seed, or of several, which count as their mean."""
        rows = np.asarray(values, float)
        means = rows.reshape(len(rows), -1).mean(1).tolist()
        deviation = statistics.stdev(means) if len(means) > 1 else 0.0
        return cls(statistics.fmean(means), deviation, len(means))

    def __format__(self, form: str) -> str:
        return f"{self.mean:{form}}" + (
            f" ± {self.deviation:{form}}" if self.num_seeds > 1 else ""
        )


@dataclass(frozen=True)
class Row:
    """A run in a table: row.target_accuracy is a `Score`, and row.gain what the last
    score gains, if asked for.
    """

    scores: dict[str, Score]
    gain: Interval | None = None

    def __getattr__(self, name: str) -> Score:
        scores = vars(self).get("scores", {})  # a copy in the making has none
        check_name("a score", name, scores, AttributeError)
        return scores[name]


@dataclass(frozen=True)
class Table:
    """Runs compared, as `Study.table` makes it: table[label] is a `Row`; columns and
    rows are what a table shows.

    family: for its caption, how many gains hold together, as "corrected for three
    comparisons"; empty without gains.
    """

    columns: list[str]
    rows: list[list[str]]
    family: str
    runs: dict[str, Row]

    def __getitem__(self, label: str) -> Row:
        return _find(label, self.runs, "a row")


@dataclass(frozen=True)
class Study:
    """A study's numbers: its parts by name, and `runs`, what each seed of a run gave,
    as {run: {seed: entry}}.

    Names that are not there are ValueErrors. A seed whose training diverged has an
    entry, and counts in no score.
    """

    name: str
    parts: dict[str, Any]
    runs: dict[str, dict[int, Entry]]
    shares: frozenset[str] = frozenset()

    def __getitem__(self, part: str) -> Any:
        """A part of the file as it stands there: "made" says with what the study was
        made.
        """
        return _find(part, self.parts, "a part")

    def values(self, run: str, score: str) -> np.ndarray:
        """The score of each seed, float (S,); (S, N) for a score of N values a seed.

        What is measured in the course of the training only counts as it was at the end.
        """
        return np.array(
            [
                _find(score, _scores(entry), "a score")
                for entry in self._finished(run).values()
            ]
        )

    def mean(self, run: str, score: str) -> float:
        """The mean of all values over seeds."""
        return float(self.values(run, score).mean())

    def summary(self, run: str) -> dict[str, float]:
        """The mean over seeds of each score that is one number a seed, and as
        "accuracy_sd" the deviation.
        """
        scores = next(iter(self._finished(run).values()))["scores"].items()
        names = [name for name, value in scores if isinstance(value, (int, float))]
        spread = {
            f"{name}_sd": Score.over(self.values(run, name)).deviation for name in names
        }
        return {name: self.mean(run, name) for name in names} | spread

    def table(
        self,
        runs: Iterable[str] | Mapping[str, Any],
        scores: Iterable[str] | Mapping[str, str],
        gain_over: str | None = None,
    ) -> Table:
        """Runs in rows, their scores in columns, as in
        `chapter.show_table(study.table(...), name, caption)`.

        runs: their names, or {label: run}; scores in a dictionary stand for a run that
        has no seeds. scores: their names, or {score: format}; a run lacks what only
        others have ("–"). gain_over: the label of a baseline. All other runs then have
        a gain over it in the last score, percentage points for shares: Welch's
        interval, corrected for the number of these runs. Raises ValueError for a name
        that is not there, and where gains need more seeds.
        """
        labelled = runs if isinstance(runs, Mapping) else {run: run for run in runs}
        formats = (
            scores if isinstance(scores, Mapping) else dict.fromkeys(scores, ".3f")
        )
        last = [*formats][-1]
        gains = {} if gain_over is None else self._gain_over(gain_over, labelled, last)
        form = "+.1f" if last in self.shares else f"+{formats[last]}"
        rows, found = [], {}
        for label, run in labelled.items():
            summed, gain = (
                {s: self._sum_up(run, s) for s in formats if self._is_due(run, s)},
                gains.get(label),
            )
            found[label] = Row(summed, gain)
            cells = [
                f"{summed[s]:{formats[s]}}" if s in summed else "–" for s in formats
            ]
            ends = [f"{value:{form}}" for value in gain] if gain else ["–"] * 3
            seeds = next(iter(summed.values())).num_seeds
            rows.append([label, f"{seeds or '–'}", *cells, *ends * bool(gains)])
        heads = [HEADS.get(score, score.replace("_", " ")) for score in formats]
        heads = ["", "seeds", *heads, *["gain", "low", "high"] * bool(gains)]
        return Table(heads, rows, _name_family(len(gains)), found)

    def join(self, other: Study) -> Study:
        """The study with the runs of another besides: "20 evaluations" of "flow" is
        then "flow 20 evaluations".
        """
        named = {f"{other.name} {run}": entries for run, entries in other.runs.items()}
        return replace(self, runs=self.runs | named, shares=self.shares | other.shares)

    def history(self, run: str, score: str) -> np.ndarray:
        """The score in the course of the training, (S, T): one row a seed, one column
        an epoch, or a recorded point.
        """
        finished = self._finished(run).values()
        histories = [
            _find("history", entry, "a part of the entry") for entry in finished
        ]
        return np.array([_find(score, history, "a score") for history in histories])

    def _gain_over(
        self, baseline: str, runs: Mapping[str, Any], score: str
    ) -> dict[str, Interval]:
        unit, seeded = 100 if score in self.shares else 1, {}
        for label, run in runs.items():
            if isinstance(run, str):
                seeded[label] = unit * self.values(run, score)
        check_name("a baseline", baseline, seeded)
        base = seeded.pop(baseline)
        return {
            k: intervals.compare(found, base, len(seeded))
            for k, found in seeded.items()
        }

    def _is_due(self, run: str | Mapping[str, float], score: str) -> bool:
        """Whether a run has the score; or none has it, so that its name must be wrong."""
        having = [
            name
            for name, entries in self.runs.items()
            if any(score in _scores(e) for e in entries.values())
        ]
        return (
            not isinstance(run, str)
            or run not in self.runs
            or run in having
            or not having
        )

    def _sum_up(self, run: str | Mapping[str, float], score: str) -> Score:
        if not isinstance(run, str):
            return Score(float(_find(score, run, "a score")), 0.0, 0)
        return Score.over(self.values(run, score))

    def _finished(self, run: str) -> dict[int, Entry]:
        entries = _find(run, self.runs, "a run").items()
        return {seed: entry for seed, entry in entries if "diverged" not in entry}


def load(name: str) -> Study:
    """The numbers of a study; LabreportError where they are not there."""
    parts, runs = json.loads(_path(f"{name}.json").read_text()), {}
    for run, entries in parts.get("runs", {}).items():
        runs[run] = {seed: entries[f"{seed}"] for seed in sorted(map(int, entries))}
    return Study(name, parts, runs, frozenset(parts.get("shares", ())))


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of a study, by name; LabreportError where they are not there."""
    with np.load(_path(f"{name}.npz")) as file:
        return dict(file)


def load_pictures(name: str) -> dict[str, np.ndarray]:
    """The pictures of a study by name, uint8 (H, W, 3), which its arrays hold as PNG or
    JPEG.
    """
    encoded = load_arrays(name)
    return {
        name: np.asarray(Image.open(io.BytesIO(array.data)))
        for name, array in encoded.items()
    }


def save(name: str, parts: Mapping[str, object], seeds: Sequence[int]) -> Path:
    """Write a study's numbers beside what made them (commit, date, versions, machine,
    seeds); returns the file.
    """
    made = environment.describe() | {"seeds": list(seeds)}
    content = json.dumps({"made": made, **parts}, indent=1) + "\n"
    # A list of numbers on one line: half the size, and a difference of versions that
    # can be read.
    content = re.sub(
        r"\[\n([^\[\]{}\"]+)\]", lambda it: f"[{' '.join(it[1].split())}]", content
    )
    return paths.write_atomically(paths.results() / f"{name}.json", content.encode())


def save_arrays(
    name: str, arrays: Mapping[str, np.ndarray], folder: Path | None = None
) -> Path:
    """Write an .npz that NumPy reads, compressed by LZMA column by column: a third
    smaller than savez_compressed.

    folder: where, by default the report's data/results.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.asfortranarray(array), allow_pickle=False
            )
            # A fixed date: the same arrays give the same file.
            archive.writestr(
                zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA
            )
    return paths.write_atomically(
        (folder or paths.results()) / f"{name}.npz", file.getvalue()
    )


def _path(filename: str) -> Path:
    path = paths.results() / filename
    if not path.is_file():
        remedy = f"run labreport study {path.stem}"
        raise LabreportError(f"expected results in {path}, got no such file; {remedy}.")
    return path


def _scores(entry: Entry) -> dict[str, Any]:
    return {
        key: values[-1] for key, values in entry.get("history", {}).items()
    } | entry.get("scores", {})


def _name_family(number: int) -> str:
    words = dict(enumerate(COUNTS)).get(number, number)
    return (
        f"corrected for {words} comparisons"
        if number > 1
        else "a single comparison" * number
    )


def _find(name: str, found: Mapping[str, Any], what: str) -> Any:
    check_name(what, name, found)
    return found[name]
