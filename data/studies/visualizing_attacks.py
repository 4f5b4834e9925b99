"""Chapter 2's attacks, each beside noise of its size.

Their pictures cannot be committed: the first NUM of the practical's 25 and the 500
samples that all three networks classify correctly, squashed to 224 x 224. Gradients are
taken in bfloat16 if the processor has it, every verdict in float32.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import adversarial, datasets, pretrained
from dlapps.adversarial import AdversarialExamples, score_examples
from dlapps.core import runtime
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import stack_pixels
from dlapps.pretrained import PixelNetwork
from labreport import results
from studies import attack_methods as methods
from studies.attack_methods import survives
from studies.runs import Calls, Place, cached, nest
from studies.sweeps import sweep

NAMES = {
    "squeezenet1_1": "SqueezeNet",
    "efficientnet_lite0": "Lite0",
    "efficientnet_lite2": "Lite2",
}
SQUEEZENET = "squeezenet1_1"
LITE0 = "efficientnet_lite0"
STINGRAY = 6
# Pictures of the table and of transfer.
NUM = 80

Attack = Callable[[PixelNetwork, Tensor, Tensor], AdversarialExamples]


def at(
    attack: Callable[..., AdversarialExamples], levels: float, **options: Any
) -> Attack:
    """An attack away from the labels, epsilon in levels of 255."""

    def attack_labels(
        network: PixelNetwork, images: Tensor, labels: Tensor
    ) -> AdversarialExamples:
        return attack(network, images, levels / 255, labels, **options)

    return attack_labels


def climb_to_stingray(
    network: PixelNetwork, images: Tensor, labels: Tensor
) -> AdversarialExamples:
    """The practical's ascent, whatever the labels."""
    return adversarial.fool(network, images, STINGRAY)


def pgd_to_stingray(
    network: PixelNetwork, images: Tensor, labels: Tensor
) -> AdversarialExamples:
    """PGD to the stingray, whatever the labels."""
    return adversarial.pgd(network, images, 2 / 255, targets=STINGRAY, num_steps=20)


TABLE: dict[str, Attack] = {
    "none": at(methods.sign_noise, 0),
    "noise 1": at(methods.sign_noise, 1),
    "noise 2": at(methods.sign_noise, 2),
    "noise 4": at(methods.sign_noise, 4),
    "noise 8": at(methods.sign_noise, 8),
    "FGSM 1": at(adversarial.fgsm, 1),
    "FGSM 2": at(adversarial.fgsm, 2),
    "FGSM 4": at(adversarial.fgsm, 4),
    "PGD 1": at(adversarial.pgd, 1),
    "PGD 2, 20 steps": at(adversarial.pgd, 2, num_steps=20),
    "PGD L2, length 0.5": at(adversarial.pgd, 0.5 * 255, norm="l2"),
    "to stingray, ascent": climb_to_stingray,
    "to stingray, PGD 2": pgd_to_stingray,
    "DeepFool": methods.deep_fool,
}
TRANSFER: dict[str, Attack] = {
    "noise": at(methods.sign_noise, 8),
    "pgd": at(adversarial.pgd, 8),
    "momentum": at(methods.transferable_pgd, 8, momentum=1.0),
    "diversity": at(methods.transferable_pgd, 8, transform=methods.resize_and_pad),
    "best": at(
        methods.transferable_pgd, 8, momentum=1.0, transform=methods.resize_and_pad
    ),
}


@functools.cache
def load_practical() -> tuple[Tensor, Tensor]:
    """Pixels and labels of the practical's 25 pictures."""
    practical = datasets.load_imagenet_val25()
    return stack_pixels(practical.images), torch.from_numpy(practical.labels)


@functools.cache
def load_subjects() -> tuple[Tensor, Tensor]:
    """Pixels and labels of the first NUM pictures that all networks have right."""
    images, labels = load_practical()
    samples = datasets.load_imagenet_samples()
    images = torch.cat([images, stack_pixels(samples.images[: 3 * NUM])])
    labels = torch.cat([labels, torch.from_numpy(samples.labels[: 3 * NUM])])
    for name in NAMES:
        correct = float32_logits(pretrained.load(name), images).argmax(1) == labels
        images = images[correct]
        labels = labels[correct]
    return images[:NUM], labels[:NUM]


def summarise(network: PixelNetwork, examples: AdversarialExamples) -> dict[str, Any]:
    """Shares of pictures that reach their goal after each damage, and median lengths.

    l2, linf: of the pictures that succeed, or of all if none does. bits: a 0 or 1 for
    each picture, "0110", whether it reaches the goal when saved.
    """
    row: dict[str, Any] = {}
    for damage in methods.DAMAGES:
        reached = survives(network, examples, damage)
        row[damage] = float(reached.double().mean())
    chosen = examples.success
    if not chosen.any():
        chosen = torch.ones_like(chosen)
    row["l2"] = float(examples.l2[chosen].median())
    row["linf"] = float(examples.linf[chosen].median()) * 255
    saved = survives(network, examples, "saved")
    row["bits"] = "".join(str(int(flag)) for flag in saved)
    return row


def attack(method: str) -> dict[str, Any]:
    """One attack of the table."""
    network = pretrained.load(SQUEEZENET)
    images, labels = load_subjects()
    with runtime.autocast("cpu"):
        examples = TABLE[method](network, images, labels)
    return summarise(network, examples)


def fool_the_25() -> dict[str, Any]:
    """Drive the practical's 25 pictures to the stingray.

    lost: how many of them a stop at the first success in floats would lose.
    """
    network = pretrained.load(SQUEEZENET)
    images, _ = load_practical()
    examples = adversarial.fool(network, images, STINGRAY)
    stopped = torch.zeros(len(images), dtype=torch.bool)
    num_lost = 0
    step = score_examples(network, images, images, examples.goal)
    while not stopped.all():
        step = adversarial.fool(network, step.images, STINGRAY, num_steps=1)
        stops = survives(network, step, "floats") & ~stopped
        num_lost += int((stops & ~step.success).sum())
        stopped |= stops
    row = summarise(network, examples)
    return {"survives_8bit": row["saved"], "jpeg": row["jpeg"], "lost": num_lost}


def transfer(name: str, method: str) -> dict[str, float]:
    """Shares of pictures, made on one network, that the others classify wrongly.

    The pictures are made at 8 levels, and saved.
    """
    images, labels = load_subjects()
    with runtime.autocast("cpu"):
        examples = TRANSFER[method](pretrained.load(name), images, labels)
    shares = {}
    for other in NAMES:
        if other != name:
            wrong = survives(pretrained.load(other), examples, "saved")
            shares[other] = float(wrong.double().mean())
    return shares


def make_visualizing_attacks() -> Path:
    """Make every attack on one scale: less than 20 minutes on one core."""
    calls: Calls = {("table", method): cached(attack, method) for method in TABLE}
    for name in (SQUEEZENET, LITE0):
        for method in TRANSFER:
            calls["transfer", name, method] = cached(transfer, name, method)
    calls["stingray",] = cached(fool_the_25)
    done = dict(sweep(calls, "attacks"))
    entries: dict[Place, Any] = {}
    for place in calls:
        if place[0] != "transfer":
            entries[place] = done[place]
            continue
        _, name, method = place
        for other, share in done[place].items():
            entries["transfer", f"{NAMES[name]} to {NAMES[other]}", method] = share
    return results.save("visualizing-attacks", nest(entries), [0])
