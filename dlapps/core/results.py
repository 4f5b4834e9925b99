"""Committed results of long computations: what `dlapps data make NAME` wrote, and how studies write it.

    study = results.load("mnistm")
    study.mean("paper", "target_accuracy")              # over seeds
    study.history("paper", "target_accuracy")           # one row a seed, one column an epoch
    study.summary("paper", "target_accuracy")           # for `chapter.record(paper=...)`
    study.gains({"paper": "practical"}, "target_accuracy")  # {"paper": its mean difference, with an interval}
    study.differences("paper", "practical", ["target_accuracy"])  # {"target_accuracy": Welch's interval}
    study.compare(["paper", "practical"], ["target_accuracy"])  # for `chapter.show_table(*...)`

Numbers lie in NAME.json, arrays and pictures in NAME.npz, both in data/results.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dlapps import check_name
from dlapps.core import environment, metrics, paths
from dlapps.core.intervals import Interval, compare

Entry = dict[str, Any]  # what one seed of a run gave
# Heads of tables that a score's name cannot spell.
HEADS = {"frechet_ratio": "Fréchet ratio", "gan_train_accuracy": "GAN-train"}
HEADS |= {"last_real_probability": "last D(x)", "last_generator_loss": "last loss of G"}


@dataclass(frozen=True)
class Study:
    """A study's numbers: its parts by name, and `runs`, what each seed of a run gave, as {run: {seed: entry}}.

    Names that are not there are ValueErrors. A seed whose training diverged has an entry, and counts in no score.
    """

    name: str
    parts: dict[str, Any]
    runs: dict[str, dict[int, Entry]]

    def __getitem__(self, part: str) -> Any:
        """A part of the file as it stands there: "made" says with what the study was made."""
        return _find(part, self.parts, "a part")

    def values(self, run: str, score: str) -> np.ndarray:
        """The score of each seed, float (S,); (S, N) for a score of N values a seed.

        What is measured in the course of the training only counts as it was at the end.
        """
        return np.array([_score(score, entry) for entry in self._finished(run).values()])

    def mean(self, run: str, score: str) -> float:
        """The mean of all values over seeds."""
        return float(self.values(run, score).mean())

    def deviation(self, run: str, score: str) -> float:
        """The sample standard deviation over seeds, 0.0 for a single one."""
        return metrics.deviation(self.values(run, score).tolist())

    def summary(self, run: str, *scores: str) -> dict[str, float]:
        """Mean and, over several seeds, deviation: {"precision": 0.716, "precision_sd": 0.016}, to be recorded as such.

        scores: by name, or all that are one number a seed.
        """
        entries = list(self._finished(run).values())
        names = scores or [name for name, value in _scores(entries[0]).items() if isinstance(value, (int, float))]
        found = {name: self.mean(run, name) for name in names}
        return found | {f"{name}_sd": self.deviation(run, name) for name in names if len(entries) > 1}

    def gains(self, baselines: Mapping[str, str], score: str, unit: float = 1.0) -> dict[str, Interval]:
        """By how much each run exceeds its baseline, {run: baseline}, over the seeds that both finished.

        As `intervals.compare` has pairs: the mean difference in multiples of a unit, with a 95 % interval that is
        corrected for the number of runs, so that all of them hold together.
        """
        found = {}
        for run, baseline in baselines.items():
            both = [self._finished(name) for name in (run, baseline)]
            seeds = [seed for seed in both[0] if seed in both[1]]
            first, second = ([_score(score, entries[seed]) / unit for seed in seeds] for entries in both)
            found[run] = compare(first, second, len(baselines), paired=True)
        return found

    def differences(self, first: str, second: str, scores: Collection[str]) -> dict[str, Interval]:
        """By how much one run's means exceed another's: `intervals.compare`, corrected for the number of scores."""
        pairs = {score: (self.values(first, score), self.values(second, score)) for score in scores}
        return {score: compare(*pair, len(scores)) for score, pair in pairs.items()}

    def compare(
        self,
        rows: Iterable[str] | Mapping[str, Any],
        columns: Iterable[str] | Mapping[str, str],
        gains: Mapping[str, Interval] | None = None,
    ) -> tuple[list[list[Any]], list[str]]:
        """Rows and heads of a table of runs, as in `chapter.show_table(*study.compare(rows, columns), name, caption)`.

        rows: names of runs, or {label: run}; scores in a dictionary stand for a run that has no seeds. columns: names
        of scores, or {score: format}. gains: of some of the runs, as `gains` gives them, for one more column.
        """
        labelled = rows if isinstance(rows, Mapping) else {run: run for run in rows}
        formats = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, ".3f")
        table = []
        for label, run in labelled.items():
            if isinstance(run, str):
                cells: list[Any] = [len(self._finished(run))]
                cells += [
                    metrics.mean_and_deviation(self.values(run, score).tolist(), form)
                    for score, form in formats.items()
                ]
            else:
                cells = ["–", *(f"{_find(score, run, 'a score'):{form}}" for score, form in formats.items())]
            more = [f"{gains[run]:+.1f}" if run in gains else "–"] if gains else []
            table.append([label, *cells, *more])
        heads = [HEADS.get(score, score.replace("_", " ")) for score in formats]
        return table, ["", "seeds", *heads, *(["gain"] if gains else [])]

    def derive(self, score: str, rule: Callable[[Entry], float]) -> Study:
        """The study with one more score of each seed, which the rule makes of its entry."""

        def extend(entry: Entry) -> Entry:
            return entry if "diverged" in entry else entry | {"scores": _scores(entry) | {score: rule(entry)}}

        runs = {run: {seed: extend(entry) for seed, entry in entries.items()} for run, entries in self.runs.items()}
        return replace(self, runs=runs)

    def join(self, other: Study) -> Study:
        """The study with the runs of another besides: "20 evaluations" of "flow" is then "flow 20 evaluations"."""
        named = {f"{other.name} {run}": entries for run, entries in other.runs.items()}
        return replace(self, runs=self.runs | named)

    def history(self, run: str, score: str) -> np.ndarray:
        """The score in the course of the training, (S, T): one row a seed, one column an epoch, or a recorded point."""
        finished = self._finished(run).values()
        histories = [_find("history", entry, "a part of the entry") for entry in finished]
        return np.array([_find(score, history, "a score") for history in histories])

    def histories(self, without: Sequence[str] = ()) -> dict[str, list[dict[str, list[float]]]]:
        """{run: the history of each seed that finished} of all runs but those, each of a training that was followed."""
        found = {run: [e["history"] for e in self._finished(run).values() if "history" in e] for run in self.runs}
        return {run: part for run, part in found.items() if part and run not in without}

    def _finished(self, run: str) -> dict[int, Entry]:
        entries = _find(run, self.runs, "a run").items()
        return {seed: entry for seed, entry in entries if "diverged" not in entry}


def tabulate(
    rows: Mapping[str, Mapping[str, Any]], formats: Mapping[str, str] | str, first: str = ""
) -> tuple[list[list[str]], list[str]]:
    """Rows and heads of a table, as in `chapter.show_table(*tabulate(rows, formats), name, caption)`.

    rows: {label: {column: value}}; of a list of several values, one a seed, the mean ± deviation; a value that is not
    there is left out. formats: {column: format}, or one for all columns of the first row. first: the head of the
    labels.
    """
    if isinstance(formats, str):
        formats = dict.fromkeys(next(iter(rows.values())), formats)

    def cell(value: Any, form: str) -> str:
        return metrics.mean_and_deviation(value, form) if isinstance(value, list) else f"{value:{form}}"

    table = [
        [label, *(cell(values[column], form) if column in values else "–" for column, form in formats.items())]
        for label, values in rows.items()
    ]
    return table, [first, *(HEADS.get(column, column.replace("_", " ")) for column in formats)]


def load(name: str) -> Study:
    """The numbers of a study; DlappsError where they are not there."""
    parts = json.loads(paths.require_result(f"{name}.json", "results", f"run dlapps data make {name}").read_text())
    return Study(name, parts, _collect_runs(parts))


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of a study, by name; DlappsError where they are not there."""
    with np.load(paths.require_result(f"{name}.npz", "results", f"run dlapps data make {name}")) as file:
        return dict(file)


def load_class_pictures(name: str = "visualizing-classes") -> dict[str, np.ndarray]:
    """Pictures that `dlapps data make NAME` drew: uint8 (H, W, 3) by "network preset class"."""
    encoded = load_arrays(name)
    return {name: np.asarray(Image.open(io.BytesIO(array.data))) for name, array in encoded.items()}


def save(name: str, parts: Mapping[str, object], seeds: Sequence[int]) -> Path:
    """Write a study's numbers beside what made them (commit, date, versions, machine, seeds); returns the file."""
    made = environment.describe() | {"seeds": list(seeds)}
    content = json.dumps({"made": made, **parts}, indent=1) + "\n"
    # A list of numbers on one line: half the size, and a difference of versions that can be read.
    content = re.sub(r"\[\n([^\[\]{}\"]+)\]", lambda found: f"[{' '.join(found[1].split())}]", content)
    return paths.write_atomically(paths.results() / f"{name}.json", content.encode())


def save_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write an .npz that NumPy reads, compressed by LZMA column by column: a third smaller than savez_compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asfortranarray(array), allow_pickle=False)
            # A fixed date: the same arrays give the same file.
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA)
    return paths.write_atomically(paths.results() / f"{name}.npz", file.getvalue())


def _scores(entry: Entry) -> Entry:
    return entry.get("scores", entry)


def _score(name: str, entry: Entry) -> Any:
    ends = {key: values[-1] for key, values in entry.get("history", {}).items()}
    return _find(name, ends | _scores(entry), "a score")


def _find(name: str, found: Mapping[str, Any], what: str) -> Any:
    check_name(what, name, found)
    return found[name]


def _collect_runs(parts: Mapping[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """What lies under a seed, named as the arrays are: parts["dcgan"]["best"]["0"] is seed 0 of "dcgan best".

    parts["runs"]["paper"]["0"] is of "paper", parts["squeezenet1_1 modern 0"] of "squeezenet1_1 modern".
    """
    runs: dict[str, dict[int, dict[str, Any]]] = {}
    for part, content in parts.items():
        name, _, seed = part.rpartition(" ")
        if seed.isdecimal():
            runs.setdefault(name, {})[int(seed)] = content
            continue
        for run, entries in content.items() if isinstance(content, dict) else ():
            if isinstance(entries, dict) and all(seed.isdecimal() for seed in entries):
                by_seed = sorted((int(seed), entry) for seed, entry in entries.items())
                runs[run if part == "runs" else f"{part} {run}"] = dict(by_seed)
    return runs
