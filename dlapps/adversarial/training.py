"""A defence: training on adversarial examples."""

from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import nn

from dlapps import check_counts
from dlapps.adversarial.ascent import pgd
from dlapps.core import paths
from dlapps.core.images import as_pictures, as_uint8
from dlapps.core.runtime import autocast, channels_last, drawn_from
from dlapps.core.training import (
    History,
    as_labels,
    check_options,
    make_one_cycle,
    minimise,
    read_checked,
    run_epochs,
    seeded,
)

BATCH_SIZE, LEARNING_RATE = 128, 5e-3
# Share of the training in which epsilon rises to its value: from the start at .3, a network learns nothing for long.
WARM_UP = 0.3


def make_digit_network() -> nn.Sequential:
    """Pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10): three convolutions in strides of 2, 0.19 M parameters."""
    maps = [nn.Conv2d(1, 32, 5, 2, 2), nn.Conv2d(32, 64, 3, 2, 1), nn.Conv2d(64, 64, 3, 2, 1)]
    layers = [layer for convolution in maps for layer in (convolution, nn.ReLU())]
    return channels_last(nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)))


def fit_digits(
    images: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    num_epochs: int = 6,
    num_steps: int = 4,
    seed: int = 0,
    **options: Any,
) -> tuple[nn.Module, History]:
    """min over weights of E[max over ||d|| <= epsilon of L(x + d, y)] (Madry et al. 2018, eq. 2.1), L-infinity.

    Of digits uint8 (N, 28, 28) and labels (N,): a network trained on what `pgd` of num_steps makes of each batch, in
    eval mode without gradients, and its history. epsilon: 0 is plain training. The same seed gives the same network.
    options: monitor, checkpoint and progress, as `dlapps.core.training.run_epochs` takes them.
    """
    check_options("fit_digits", options)
    check_counts(num_epochs=num_epochs, num_steps=num_steps)
    digits = as_pictures(as_uint8(images))
    classes = as_labels(labels, len(digits), 10)
    with drawn_from(seed):
        network = make_digit_network()
    num_batches = -(-len(digits) // BATCH_SIZE)
    optimiser, schedule = make_one_cycle({network: LEARNING_RATE}, 0.0, num_batches * num_epochs)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, list[float]]:
        losses = []
        for number, rows in enumerate(torch.randperm(len(digits), generator=generator).split(BATCH_SIZE)):
            x, y = digits[rows], classes[rows]
            radius = epsilon * min(1, (epoch + number / num_batches) / num_epochs / WARM_UP)
            start = int(torch.randint(2**31, (), generator=generator))
            with autocast("cpu"):
                if radius:
                    x = pgd(network, x, radius, y, num_steps=num_steps, seed=start).images
                loss = F.cross_entropy(network(x).float(), y)
            minimise(loss, optimiser)
            schedule.step()
            losses.append(loss.item())
        return {"loss": [sum(losses) / len(losses)]}

    identity: dict[str, Any] = {"data": digits, "labels": classes, "epsilon": epsilon}
    identity |= {"num_steps": num_steps, "seed": seed, "num_epochs": num_epochs}
    parts, train = {"optimiser": optimiser, "schedule": schedule}, seeded(train_epoch, seed)
    history = run_epochs(train, network, parts, identity, num_epochs, **options)
    return network.requires_grad_(False), history


def load_digit_networks() -> dict[str, nn.Module]:
    """The committed networks by name, "robust" (trained at epsilon .3) and "plain", of seed 0, in eval mode."""
    path = paths.require_result(
        "visualizing-defence.pt", "networks of digits", "run dlapps data make visualizing-defence"
    )
    networks: dict[str, nn.Module] = {}
    for name, state in read_checked(path, "pair of networks", ("robust", "plain")).items():
        networks[name] = make_digit_network().eval().requires_grad_(False)
        networks[name].load_state_dict(state)
    return networks
