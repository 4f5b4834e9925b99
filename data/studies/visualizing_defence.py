"""Chapter 2's defence: digit networks with and without adversarial training.

Three seeds of each, judged by torchattacks' APGD and Square, which the environment of
`make bench` has. Input is not checked.
"""

import functools
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import datasets
from dlapps.adversarial import make_digit_network, pgd
from dlapps.core import runtime
from dlapps.core.images import as_pictures
from dlapps.core.training import make_one_cycle, minimise
from labreport.results import Entry
from studies.runs import Calls, make_missing
from studies.weights import save, to_float16

SEEDS = (0, 1, 2)
# The epsilon of a training, 0 for a plain one, and its epochs.
TRAININGS = {"robust": (0.3, 6), "plain": (0.0, 3)}
EPSILON = 0.3
# Test digits that are attacked. They are taken at equal distances: the first digits are
# harder than the others.
NUM_JUDGED = 2500
NUM_QUERIES = 5000
BATCH_SIZE = 128
LEARNING_RATE = 5e-3
# Steps of PGD for each batch of the training.
TRAINING_STEPS = 4
# Share of the training in which epsilon rises to its value: with .3 from the start, a
# network learns nothing for long.
WARM_UP = 0.3


@functools.cache
def load_digits(split: str) -> tuple[Tensor, Tensor]:
    """Digits (N, 1, 28, 28) in [0, 1], and their labels."""
    digits = datasets.load_mnist(split)
    return as_pictures(digits.images), torch.from_numpy(digits.labels).long()


def train(name: str, seed: int) -> nn.Module:
    """Train one of the networks: four minutes on one core."""
    digits, labels = load_digits("train")
    epsilon, num_epochs = TRAININGS[name]
    return fit_digits(digits, labels, epsilon, num_epochs, seed)


def fit_digits(
    digits: Tensor, labels: Tensor, epsilon: float, num_epochs: int, seed: int
) -> nn.Module:
    """Adversarial training of Madry et al. (2018) on digits (N, 1, 28, 28) in [0, 1].

    It minimises, over the weights, the mean of max L(x + d, y) over ||d|| <= epsilon
    (eq. 2.1), in the maximum norm: the network is trained on what `pgd` makes of each
    batch. epsilon = 0 is plain training. The same seed gives the same network.
    """
    with runtime.drawn_from(seed):
        network = make_digit_network()
    num_batches = -(-len(digits) // BATCH_SIZE)
    num_steps = num_batches * num_epochs
    optimiser, schedule = make_one_cycle({network: LEARNING_RATE}, 0.0, num_steps)
    network.eval()
    step = 0
    for epoch in range(num_epochs):
        generator = runtime.make_generator(seed * 1_000_003 + epoch)
        order = torch.randperm(len(digits), generator=generator)
        for rows in order.split(BATCH_SIZE):
            radius = epsilon * min(1, step / num_steps / WARM_UP)
            start = int(torch.randint(2**31, (), generator=generator))
            x = digits[rows]
            y = labels[rows]
            with torch.autocast("cpu", torch.bfloat16):
                if radius:
                    attacked = pgd(network, x, radius, y, TRAINING_STEPS, seed=start)
                    x = attacked.images
                loss = F.cross_entropy(network(x).float(), y)
            minimise(loss, optimiser)
            schedule.step()
            step += 1
    return network.requires_grad_(False)


def withstand(network: nn.Module, seed: int) -> float:
    """Share of test digits that are still classified correctly after APGD and Square.

    They are attacked as floats within EPSILON. Square (Andriushchenko et al. 2020)
    needs no gradient, and attacks the digits that APGD (Croce & Hein 2020) has left:
    the worst of both counts for each digit.
    """
    from torchattacks import APGD, Square

    images, labels = load_digits("test")
    images = images[:: len(images) // NUM_JUDGED]
    labels = labels[:: len(labels) // NUM_JUDGED]
    apgd = APGD(network, eps=EPSILON, steps=20, n_restarts=2, seed=seed)
    square = Square(network, eps=EPSILON, n_queries=NUM_QUERIES, seed=seed)
    for attack in (apgd, square):
        withstood = network(attack(images, labels)).argmax(1) == labels
        images = images[withstood]
        labels = labels[withstood]
        if len(images) == 0:
            break
    return round(len(images) / NUM_JUDGED, 4)


def measure(name: str, seed: int) -> Entry:
    """The scores of one network."""
    network = train(name, seed)
    images, labels = load_digits("test")
    clean = float((network(images).argmax(1) == labels).float().mean())
    accuracy = withstand(network, seed)
    return {"scores": {"clean": round(clean, 4), "accuracy": accuracy}}


def make_visualizing_defence() -> Path:
    """Measure both networks over seeds, write those of seed 0: an hour on one core."""
    calls: Calls = {}
    for seed in SEEDS:
        for name in TRAININGS:
            calls["runs", name, seed] = partial(measure, name, seed)
    weights = {name: to_float16(train(name, 0)) for name in TRAININGS}
    save(weights, "visualizing-defence.pt")
    constants = {"num_judged": NUM_JUDGED, "shares": ["clean", "accuracy"]}
    return make_missing("visualizing-defence", calls, SEEDS, **constants)
