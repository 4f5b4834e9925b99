"""Domain-adversarial training against the loop one writes first, and against
pytorch-adapt's DANN.

The plain loop has the same layers, NCHW, float32, passes source and target through them
one after the other, and takes its batches from two DataLoaders with PIL transforms and
two workers each. pytorch-adapt's hook makes its own update of the same layers, fed by
the same loaders. Steps (64 + 64 pictures) and epochs of all run here on the same
pictures. The agreement is the cosine of the change of all weights in the first step,
the cosine that of "fast" with float32. `python benchmarks/dann.py [--rounds 5]
[--threads 1] [NAME ...]`
"""

from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from timing import OURS, change_of_weights, compare, least_cosine, main, name_peer
from torch import nn
from torchvision import transforms

from dlapps import dann, datasets
from dlapps.core.runtime import autocast

BATCH, WEIGHT, IMAGES, WORKERS = 64, 0.5, 1280, 2
SETTINGS = replace(dann.PRACTICAL, num_epochs=1, batch_size=BATCH, schedule=WEIGHT)


class Pictures(torch.utils.data.Dataset):
    """One PIL picture at a time through transforms, as torchvision's MNIST."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        steps = [transforms.Grayscale(3)] if images.ndim == 3 else []
        normalise = transforms.Normalize(
            (dann.layers.MNIST_MEAN,) * 3, (dann.layers.MNIST_STD,) * 3
        )
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), normalise])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), int(
            self.labels[index]
        )


class Plain:
    """The practical's three networks, written without thinking of speed; they begin
    with the weights of dlapps's.
    """

    def __init__(self):
        network = dann.DomainAdversarialNetwork().to(
            memory_format=torch.contiguous_format
        )
        first, second = (
            layer for layer in network.feature_extractor if isinstance(layer, nn.Conv2d)
        )
        self.features = nn.Sequential(
            first,
            nn.ReLU(),
            nn.MaxPool2d(2),
            second,
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classes, self.domains = network.label_predictor, network.domain_classifier
        self.parts = (self.features, self.classes, self.domains)
        self.weights = [
            parameter for part in self.parts for parameter in part.parameters()
        ]
        self.optimiser = torch.optim.SGD(self.weights, lr=0.01, momentum=0.9)

    def step(self, source, labels, target):
        self.optimiser.zero_grad()
        source_features, target_features = self.features(source), self.features(target)
        loss = nn.functional.cross_entropy(self.classes(source_features), labels)
        for features, domain in ((source_features, 0.0), (target_features, 1.0)):
            logits = self.domains(dann.GradientReversal.apply(features, WEIGHT))
            loss = (
                loss
                + nn.functional.binary_cross_entropy_with_logits(
                    logits, torch.full_like(logits, domain)
                )
                / 2
            )
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def epoch(self, source, target):
        options = {"batch_size": BATCH, "shuffle": True, "num_workers": WORKERS}
        loaders = [
            torch.utils.data.DataLoader(Pictures(*domain), **options)
            for domain in (source, target)
        ]
        for (pictures, labels), (unlabelled, _) in zip(*loaders, strict=True):
            self.step(pictures, labels, unlabelled)


class PytorchAdapt(Plain):
    """The same layers and loaders, each update made by pytorch-adapt."""

    def __init__(self):
        super().__init__()
        from pytorch_adapt.hooks import DANNHook
        from pytorch_adapt.weighters import SumWeighter

        optimisers = [
            torch.optim.SGD(part.parameters(), lr=0.01, momentum=0.9)
            for part in self.parts
        ]
        # One loss of all domain labels, as the others have it, in place of one for each
        # domain.
        weighter = SumWeighter(
            weights={"src_domain_loss": 0.5, "target_domain_loss": 0.5}
        )
        self.hook = DANNHook(optimisers, weighter, gradient_reversal_weight=WEIGHT)

    def step(self, source, labels, target):
        batch = dict(zip("GCD", self.parts, strict=True))
        batch |= {
            "src_imgs": source,
            "src_labels": labels,
            "src_domain": torch.zeros(len(source)),
        }
        self.hook(
            batch | {"target_imgs": target, "target_domain": torch.ones(len(target))}
        )


class Ours:
    """A step as `fit_dann` makes it, and an epoch of it."""

    def __init__(self, precision):
        self.precision, self.network = precision, dann.DomainAdversarialNetwork()
        self.weights = [*self.network.parameters()]
        self.optimiser = torch.optim.SGD(self.weights, lr=0.01, momentum=0.9)

    def step(self, source, labels, target):
        with autocast("cpu", self.precision):
            losses = dann.dann_losses(
                self.network,
                dann.batch_to_pixels(source),
                dann.batch_to_pixels(target),
                labels,
                WEIGHT,
            )
        self.optimiser.zero_grad()
        (losses[0] + losses[1]).backward()
        self.optimiser.step()
        return losses[0].item()

    def epoch(self, source, target):
        dann.fit_dann(
            self.network, *source, target[0], SETTINGS, precision=self.precision
        )


def measure(source, target, name, make_peer, rounds):
    everyone = {name: make_peer()} | {way: Ours(way) for way in OURS}
    pictures = [torch.tensor(images[:BATCH]) for images, _ in (source, target)]
    labels = torch.tensor(source[1][:BATCH])
    pixels = [
        dann.layers.Standardise()(dann.batch_to_pixels(part)).contiguous()
        for part in pictures
    ]
    batches = dict.fromkeys(OURS, (pictures[0], labels, pictures[1])) | {
        name: (pixels[0], labels, pixels[1])
    }
    steps = {way: partial(one.step, *batches[way]) for way, one in everyone.items()}
    changes = {
        way: change_of_weights(one.weights, steps[way]) for way, one in everyone.items()
    }
    epochs = {way: partial(one.epoch, source, target) for way, one in everyone.items()}

    def agree(theirs, ours):
        return f"cosine {least_cosine(theirs, ours):.4f}"

    yield from compare(
        f"DANN, a step of {BATCH} + {BATCH} images",
        steps,
        4 * rounds,
        least_cosine,
        agree,
        changes,
    )
    yield from compare(f"DANN, an epoch of {IMAGES} images", epochs, rounds)


def list_comparisons():
    parts = datasets.load_mnist("train"), datasets.load_mnist_m("train")
    domains = [(part.images[:IMAGES], part.labels[:IMAGES]) for part in parts]
    return {
        "DANN plain loop": partial(measure, *domains, "plain loop", Plain),
        "DANN pytorch-adapt": lambda rounds: measure(
            *domains, name_peer("pytorch-adapt"), PytorchAdapt, rounds
        ),
    }


if __name__ == "__main__":
    main(__doc__, list_comparisons)
