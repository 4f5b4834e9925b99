"""Chapter 4's flows: one training over seeds, read once on the test split at 20, 4 and 2 evaluations of the network.

The last 10,000 train images are held out of the training. How samples are drawn is chosen there, by what a classifier
learns from them; the choice is a committed file before the first reading.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from dlapps import gan
from dlapps.core import metrics, paths, results
from dlapps.gan import flow, judge, to_uint8
from studies import gan_judge
from studies.gan_presets import CONDITIONAL_PRESETS
from studies.runs import Calls, add_entries, load_parts, rounded, sweep_missing

SEEDS = (0, 1, 2)
# Samples of each candidate in the choice, and of those few that a classifier learns from, a training of which takes two
# minutes; readings draw as many as those of the GANs.
NUM_CHOOSING, NUM_LEARNT_FROM, NUM_FEW = 2_500, 10_000, 8
EVALUATIONS = (20, 4, 2)
GUIDANCES = (1, 1.25, 1.5, 2)
INTERVALS = ((0, 1), (0, 0.42), (0.1, 0.55), (0.25, 0.7))


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: what `flow.sample` takes, with guidance from time `begin` until `end`."""

    num_steps: int
    solver: str
    guidance: float
    begin: float = 0
    end: float = 1

    def weigh(self, time: float) -> float:
        """The guidance at a time: 1, which is none, out of the interval (Kynkäänniemi et al. 2024)."""
        return self.guidance if self.begin <= time < self.end else 1

    def draw(self, network: flow.VelocityNetwork, labels: Tensor, seed: int) -> Tensor:
        """Digits uint8 (N, 32, 32) of the labels (N,)."""
        return to_uint8(flow.sample(network, labels, 10_000 + seed, self.num_steps, self.solver, self.weigh))

    @property
    def evaluations(self) -> int:
        """Of the network, for a sample: two at a time where there is guidance."""
        in_step = (0, 0.5) if self.solver == "midpoint" else (0,)
        times = [(step + part) / self.num_steps for step in range(self.num_steps) for part in in_step]
        return sum(1 if self.weigh(time) == 1 else 2 for time in times)


def list_samplings(evaluations: int) -> Iterator[Sampling]:
    """All that evaluate the network so often a sample."""
    guided = itertools.product(GUIDANCES[1:], INTERVALS)
    for solver, (guidance, interval) in itertools.product(("euler", "midpoint"), [(1, (0, 1)), *guided]):
        for num_steps in range(1, evaluations + 1):
            sampling = Sampling(num_steps, solver, guidance, *interval)
            if sampling.evaluations == evaluations:
                yield sampling


def train(seed: int) -> tuple[flow.VelocityNetwork, dict[str, object]]:
    """One training, taken up where it was stopped; 50 minutes on one core. With its entry: the history."""
    before = time.process_time()

    def monitor(network: nn.Module, epoch: int) -> dict[str, float]:
        nonlocal before
        spent, before = time.process_time() - before, time.process_time()
        return {"cpu_seconds": spent}

    checkpoint = paths.cache() / "flow" / f"{seed}.pt"
    training_set = gan_judge.load_held_out()[0]
    network, history = flow.fit_flow(*training_set, flow.STANDARD, seed, monitor=monitor, checkpoint=checkpoint)
    course = {"loss": [round(loss, 5) for loss in history.loss]}
    course["cpu_seconds"] = [round(seconds, 1) for seconds in history.cpu_seconds]
    return network, {"history": course, "cpu_seconds": round(sum(course["cpu_seconds"]))}


def make_flow_selection() -> Path:
    """Every sampling on held-out images, of seed 0; about an hour on one core after its training.

    Of each number of evaluations, what is taught to a classifier is measured for those of the least Fréchet distance.
    What data/results/flow-selection.json holds already is not measured again.
    """
    parts, network = load_parts("flow-selection"), train(0)[0]
    tried: dict[str, list] = {f"{number}": parts.get(f"{number}", []) for number in EVALUATIONS}
    held_out = gan_judge.Judge(held_out=True)
    accuracy = judge.conditional_accuracy(held_out.classifier, *held_out.real)

    def save() -> None:
        results.save("flow-selection", {"real_accuracy": accuracy, **tried}, SEEDS[:1])

    for number in EVALUATIONS:
        entries = tried[f"{number}"]
        done = [Sampling(**entry["sampling"]) for entry in entries]
        for sampling in [each for each in list_samplings(number) if each not in done]:
            entries.append({"sampling": asdict(sampling), **measure(sampling, network, held_out)})
            save()
        for entry in sorted(entries, key=lambda entry: entry["frechet"])[:NUM_FEW]:
            if "gan_train_accuracy" not in entry:
                asked = torch.arange(NUM_LEARNT_FROM) % 10
                samples = Sampling(**entry["sampling"]).draw(network, asked, 101)
                entry["gan_train_accuracy"] = judge.gan_train_accuracy(samples, asked, *held_out.real)
                save()
    return paths.results() / "flow-selection.json"


def measure(sampling: Sampling, network: flow.VelocityNetwork, held_out: gan_judge.Judge) -> dict[str, float]:
    """How close NUM_CHOOSING samples are to the images held out, and whether they are of the digits asked for."""
    asked = held_out.labels[:NUM_CHOOSING]
    features, logits = judge.extract_features(held_out.classifier, sampling.draw(network, asked, 100))
    compared = held_out.features[:NUM_CHOOSING], features, gan_judge.NEIGHBOURS
    scores = {"frechet": metrics.frechet_distance(held_out.features, features)}
    scores |= zip(("precision", "recall"), metrics.precision_recall(*compared), strict=True)
    scores["conditional_accuracy"] = float((logits.argmax(1) == asked).double().mean())
    return rounded(scores)


def choose_sampling(evaluations: int) -> Sampling:
    """The one whose samples teach most: the highest GAN-train accuracy on held-out images of those it was taken of."""
    tried = [entry for entry in results.load("flow-selection")[f"{evaluations}"] if "gan_train_accuracy" in entry]
    return Sampling(**max(tried, key=lambda entry: entry["gan_train_accuracy"])["sampling"])


def read(seed: int) -> tuple[flow.VelocityNetwork, dict[str, object], dict[str, dict[str, object]]]:
    """A training with its entry, and an entry of each number of evaluations, read on the test split."""
    network, training = train(seed)
    entries: dict[str, dict[str, object]] = {}
    judge_of_test = gan_judge.Judge()
    for evaluations in EVALUATIONS:
        sampling = choose_sampling(evaluations)
        spent = count_seconds(partial(sampling.draw, network, judge_of_test.labels[:1000], seed))
        scores = judge_of_test.score_conditional(partial(sampling.draw, network), seed)
        scores["cpu_seconds_of_1000"] = spent
        entries[f"{evaluations} evaluations"] = {"scores": scores, "settings": asdict(sampling)}
    return network, training, entries


def count_seconds(call: Callable[[], object]) -> float:
    """What a call takes, in seconds of one core."""
    start = time.process_time()
    call()
    return round(time.process_time() - start, 2)


def time_gan() -> dict[str, float]:
    """What the best cDCGAN takes on the same machine: its training, by one epoch of it, and 1,000 samples."""
    images, preset = gan_judge.load_images("MNIST", "train"), CONDITIONAL_PRESETS["best"]
    train_once = partial(gan.fit_conditional_gan, *images, replace(preset, num_epochs=1))
    draw = partial(gan_judge.draw, gan.load_best("cdcgan"), 1000, 0, torch.arange(1000) % 10)
    an_epoch = count_seconds(train_once)
    training = round(preset.num_epochs * an_epoch)
    return {"cpu_seconds": training, "cpu_seconds_of_1000": count_seconds(draw)}


def score_neighbours(number: int = 50_000) -> float:
    """Error on the test split of the nearest neighbour in pixels, among so many samples of the committed network."""
    asked = torch.arange(number) % 10
    samples = choose_sampling(EVALUATIONS[0]).draw(flow.load_best(), asked, 0)
    return gan_judge.Judge().neighbour_error(samples, asked)


def make_flow() -> Path:
    """All seeds, each saved as soon as it is read; what data/results/flow.json holds already is not read again."""
    for place, entry in sweep_missing("flow", {("gan",): time_gan}):
        add_entries("flow", {("shares",): gan_judge.SHARES, ("readings",): 0, place: entry}, SEEDS)
    calls: Calls = {("trainings", seed): partial(read, seed) for seed in SEEDS}
    for place, (network, training, entries) in sweep_missing("flow", calls):
        seed, readings = place[1], load_parts("flow")["readings"] + len(entries)
        made = {("readings",): readings, place: training}
        if seed == 0:
            flow.save_flow(paths.results() / "flow.pt", network)
        made |= {("runs", run, seed): entry for run, entry in entries.items()}
        add_entries("flow", made, SEEDS)
    for place, entry in sweep_missing("flow", {("neighbour_error",): score_neighbours}):
        readings = load_parts("flow")["readings"] + 1
        add_entries("flow", {("readings",): readings, place: entry}, SEEDS)
    return paths.results() / "flow.json"
