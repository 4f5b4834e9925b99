"""Chapter 2's attacks, beside noise of their size.

Their pictures cannot be committed: the first NUM of the practical's 25 and the 500
samples that both networks classify correctly, squashed to 224 x 224.
"""

import functools
import io
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from dlapps import adversarial, pretrained
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import from_pixels, round_to_8_bits, stack_pixels
from dlapps.core.runtime import make_generator
from studies.pictures import load_imagenet_samples, load_imagenet_val25
from studies.runs import Calls, make_missing

STINGRAY = 6
NUM = 80
# In levels of 255.
LEVELS_OF_TRANSFER = 8


@functools.cache
def load_practical() -> tuple[Tensor, Tensor]:
    """Pixels and labels of the practical's 25 pictures."""
    practical = load_imagenet_val25()
    return stack_pixels(practical.images), torch.from_numpy(practical.labels)


@functools.cache
def load_subjects() -> tuple[Tensor, Tensor]:
    """Pixels and labels of the first NUM pictures that both networks have right."""
    images, labels = load_practical()
    samples = load_imagenet_samples()
    images = torch.cat([images, stack_pixels(samples.images[: 3 * NUM])])
    labels = torch.cat([labels, torch.from_numpy(samples.labels[: 3 * NUM])])
    for name in ("squeezenet1_1", "efficientnet_lite0"):
        correct = float32_logits(pretrained.load(name), images).argmax(1) == labels
        images = images[correct]
        labels = labels[correct]
    return images[:NUM], labels[:NUM]


def make_noise(images: Tensor, epsilon: float) -> Tensor:
    """The images plus epsilon times random signs: FGSM without the gradient."""
    signs = torch.rand(images.shape, generator=make_generator(0)).sub(0.5).sign()
    return (images + epsilon * signs).clamp(0, 1)


def compress(images: Tensor) -> Tensor:
    """The images after JPEG of quality 90."""
    compressed = []
    for picture in from_pixels(images):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=90)
        compressed.append(Image.open(file))
    return stack_pixels(compressed)


def measure(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Shares of images that are not read as the labels: as they are, saved, as JPEG."""
    saved = round_to_8_bits(images)
    versions = {"floats": images, "saved": saved, "jpeg": compress(saved)}
    shares = {}
    for name, version in versions.items():
        wrong = float32_logits(network, version).argmax(1) != labels
        shares[name] = float(wrong.double().mean())
    return shares


def attack(method: str) -> dict[str, float]:
    """What SqueezeNet reads after one attack.

    Shares of images that it misreads, or, "to stingray", reads as a stingray.
    """
    images, labels = load_subjects()
    if method == "to stingray":
        return drive(images)
    network = pretrained.load("squeezenet1_1")
    if method == "noise":
        images = make_noise(images, 1 / 255)
    elif method == "FGSM":
        images = adversarial.fgsm(network, images, 1 / 255, labels).images
    else:
        images = adversarial.pgd(network, images, 1 / 255, labels).images
    return measure(network, images, labels)


def drive(images: Tensor) -> dict[str, float]:
    """Shares of images that SqueezeNet reads as a stingray, driven there by `fool`."""
    network = pretrained.load("squeezenet1_1")
    driven = adversarial.fool(network, images, STINGRAY).images
    missed = measure(network, driven, torch.full((len(images),), STINGRAY))
    return {name: 1 - share for name, share in missed.items()}


def transfer(method: str) -> float:
    """Share of images, made on SqueezeNet and saved, that Lite0 misreads."""
    images, labels = load_subjects()
    epsilon = LEVELS_OF_TRANSFER / 255
    if method == "noise":
        images = make_noise(images, epsilon)
    else:
        network = pretrained.load("squeezenet1_1")
        images = adversarial.pgd(network, images, epsilon, labels).images
    return measure(pretrained.load("efficientnet_lite0"), images, labels)["saved"]


def fool_the_25() -> float:
    """Share of the practical's 25 pictures that are stingrays once saved."""
    images, _ = load_practical()
    return drive(images)["saved"]


def make_visualizing_attacks() -> Path:
    """Make every attack: some minutes on one core."""
    calls: Calls = {}
    for method in ("noise", "to stingray", "FGSM", "PGD"):
        calls["table", method] = partial(attack, method)
    for method in ("noise", "PGD"):
        calls["transfer", method] = partial(transfer, method)
    calls["fooled after saving",] = fool_the_25
    return make_missing("visualizing-attacks", calls, [0], number=NUM)
