"""Chapter 2's attacks on pictures that cannot be committed, each beside noise of its
size.

The pictures: the first NUM of the practical's 25 and the 500 samples that all three
networks read as labelled, squashed to 224 x 224. Gradients are taken in bfloat16 where
the processor has it, every verdict in float32.
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
from labreport.sweeps import sweep
from studies import attack_methods as methods
from studies.attack_methods import survives
from studies.runs import Calls, Place, cached, nest

NAMES = {
    "squeezenet1_1": "SqueezeNet",
    "efficientnet_lite0": "Lite0",
    "efficientnet_lite2": "Lite2",
}
SQUEEZENET, LITE0, _ = NAMES
STINGRAY = 6
# Pictures of the table and of transfer.
NUM = 80

Attack = Callable[[PixelNetwork, Tensor, Tensor], AdversarialExamples]


def at(
    attack: Callable[..., AdversarialExamples], levels: float, **options: Any
) -> Attack:
    """An attack away from the labels, epsilon in levels of 255."""
    return lambda network, images, labels: attack(
        network, images, levels / 255, labels, **options
    )


TABLE: dict[str, Attack] = {
    "none": at(methods.sign_noise, 0),
    **{f"noise {levels}": at(methods.sign_noise, levels) for levels in (1, 2, 4, 8)},
    **{f"FGSM {levels}": at(adversarial.fgsm, levels) for levels in (1, 2, 4)},
    "PGD 1": at(adversarial.pgd, 1),
    "PGD 2, 20 steps": at(adversarial.pgd, 2, num_steps=20),
    "PGD L2, length 0.5": at(adversarial.pgd, 0.5 * 255, norm="l2"),
    "to stingray, ascent": lambda network, images, labels: adversarial.fool(
        network, images, STINGRAY
    ),
    "to stingray, PGD 2": lambda network, images, labels: adversarial.pgd(
        network, images, 2 / 255, targets=STINGRAY, num_steps=20
    ),
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
    """Pixels and labels of the first NUM pictures that all three networks read as
    labelled.
    """
    images, labels = load_practical()
    samples = datasets.load_imagenet_samples()
    images = torch.cat([images, stack_pixels(samples.images[: 3 * NUM])])
    labels = torch.cat([labels, torch.from_numpy(samples.labels[: 3 * NUM])])
    for name in NAMES:
        read = float32_logits(pretrained.load(name), images).argmax(1) == labels
        images, labels = images[read], labels[read]
    return images[:NUM], labels[:NUM]


def summarise(network: PixelNetwork, examples: AdversarialExamples) -> dict[str, Any]:
    """Shares of pictures that reach their goal, as made and after damage; which do when
    saved, and their medians.
    """
    reached = {
        damage: survives(network, examples, damage) for damage in methods.DAMAGES
    }
    fooled = (
        examples.success
        if examples.success.any()
        else torch.ones_like(examples.success)
    )
    return {
        **{key: float(flags.double().mean()) for key, flags in reached.items()},
        "l2": float(examples.l2[fooled].median()),
        "linf": float(examples.linf[fooled].median()) * 255,
        # A 0 or 1 for each picture, "0110", which takes one line of a file.
        "bits": "".join(str(int(flag)) for flag in reached["saved"]),
    }


def attack(method: str) -> dict[str, Any]:
    """One attack of the table."""
    network = pretrained.load(SQUEEZENET)
    with runtime.autocast("cpu"):
        examples = TABLE[method](network, *load_subjects())
    return summarise(network, examples)


def fool_the_25() -> dict[str, Any]:
    """The practical: its 25 pictures to the stingray, and how many a stop at the first
    success in floats would lose.
    """
    network, (images, _) = pretrained.load(SQUEEZENET), load_practical()
    examples = adversarial.fool(network, images, STINGRAY)
    lost, early = torch.zeros(2, len(images), dtype=torch.bool)
    step = score_examples(network, images, images, examples.goal)
    while not early.all():
        step = adversarial.fool(network, step.images, STINGRAY, num_steps=1)
        fresh = survives(network, step, "floats") & ~early
        lost[fresh], early = ~step.success[fresh], early | fresh
    row = summarise(network, examples)
    return {"survives_8bit": row["saved"], "jpeg": row["jpeg"], "lost": int(lost.sum())}


def transfer(name: str, method: str) -> dict[str, float]:
    """The share of pictures, made at 8 levels on one network, that each of the others
    misreads when they are saved.
    """
    images, labels = load_subjects()
    with runtime.autocast("cpu"):
        examples = TRANSFER[method](pretrained.load(name), images, labels)
    others = [other for other in NAMES if other != name]
    return {
        other: float(
            survives(pretrained.load(other), examples, "saved").double().mean()
        )
        for other in others
    }


def make_visualizing_attacks() -> Path:
    """Every attack on one scale; less than 20 minutes on one core."""
    calls: Calls = {("table", method): cached(attack, method) for method in TABLE}
    pairs = [(name, method) for name in (SQUEEZENET, LITE0) for method in TRANSFER]
    calls |= {("transfer", *pair): cached(transfer, *pair) for pair in pairs}
    calls["stingray",] = cached(fool_the_25)
    found = dict(sweep(calls, "attacks"))
    entries: dict[Place, Any] = {
        ("table", method): found["table", method] for method in TABLE
    }
    for name, method in pairs:
        for other, share in found["transfer", name, method].items():
            entries["transfer", f"{NAMES[name]} to {NAMES[other]}", method] = share
    entries["stingray",] = found["stingray",]
    return results.save("visualizing-attacks", nest(entries), [0])
