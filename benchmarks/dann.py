"""Domain-adversarial training against the loop one writes first, and against
pytorch-adapt's DANN.

The plain loop has the same layers, NCHW, float32, passes source and target through them
one after the other, and takes its batches from two DataLoaders with PIL transforms and
two workers each. pytorch-adapt's hook makes its own update of the same layers, fed by
the same loaders. Steps (64 + 64 pictures) and epochs of all run here on the same
pictures. The agreement is the cosine of the change of all weights in the first step,
the cosine that of "autocast" with float32. `python benchmarks/dann.py [--rounds 5]
[--threads 1] [NAME ...]`
"""

from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from timing import (
    OURS,
    change_of_weights,
    compare,
    least_cosine,
    main,
    name_peer,
    run_as,
    say_least_cosine,
)
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchvision import transforms

from dlapps import dann, datasets

BATCH = 64
WEIGHT = 0.5
IMAGES = 1280
WORKERS = 2
SETTINGS = replace(dann.PRACTICAL, num_epochs=1, batch_size=BATCH, schedule=WEIGHT)


class Pictures(torch.utils.data.Dataset):
    """One PIL picture at a time through transforms, as torchvision's MNIST."""

    def __init__(self, images, labels):
        self.images = images
        self.labels = labels
        mean = dann.layers.MNIST_MEAN
        std = dann.layers.MNIST_STD
        steps = [transforms.ToTensor(), transforms.Normalize((mean,) * 3, (std,) * 3)]
        if images.ndim == 3:
            steps.insert(0, transforms.Grayscale(3))
        self.transform = transforms.Compose(steps)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        picture = Image.fromarray(self.images[index])
        return self.transform(picture), int(self.labels[index])


class Plain:
    """The practical's three networks, written without thinking of speed; they begin
    with the weights of dlapps's.
    """

    def __init__(self):
        network = dann.DomainAdversarialNetwork()
        network.to(memory_format=torch.contiguous_format)
        layers = network.feature_extractor
        first, second = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
        self.features = nn.Sequential(
            first,
            nn.ReLU(),
            nn.MaxPool2d(2),
            second,
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classes = network.label_predictor
        self.domains = network.domain_classifier
        self.parts = nn.ModuleList([self.features, self.classes, self.domains])
        self.weights = list(self.parts.parameters())
        self.optimiser = torch.optim.SGD(self.weights, lr=0.01, momentum=0.9)

    def step(self, source, labels, target):
        self.optimiser.zero_grad()
        source_features = self.features(source)
        target_features = self.features(target)
        class_loss = cross_entropy(self.classes(source_features), labels)
        source_loss = self.domain_loss(source_features, 0.0)
        target_loss = self.domain_loss(target_features, 1.0)
        loss = class_loss + source_loss / 2 + target_loss / 2
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def domain_loss(self, features, domain):
        logits = self.domains(dann.GradientReversal.apply(features, WEIGHT))
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain))

    def epoch(self, source, target):
        source_loader = make_loader(source)
        target_loader = make_loader(target)
        for source_batch, target_batch in zip(
            source_loader, target_loader, strict=True
        ):
            pictures, labels = source_batch
            unlabelled, _ = target_batch
            self.step(pictures, labels, unlabelled)


def make_loader(domain):
    images, labels = domain
    return torch.utils.data.DataLoader(
        Pictures(images, labels), BATCH, shuffle=True, num_workers=WORKERS
    )


class PytorchAdapt(Plain):
    """The same layers and loaders, each update made by pytorch-adapt."""

    def __init__(self):
        super().__init__()
        from pytorch_adapt.hooks import DANNHook
        from pytorch_adapt.weighters import SumWeighter

        optimisers = []
        for part in self.parts:
            optimiser = torch.optim.SGD(part.parameters(), lr=0.01, momentum=0.9)
            optimisers.append(optimiser)
        # One loss of all domain labels, as the others have it, in place of one for each
        # domain.
        weights = {"src_domain_loss": 0.5, "target_domain_loss": 0.5}
        weighter = SumWeighter(weights=weights)
        self.hook = DANNHook(optimisers, weighter, gradient_reversal_weight=WEIGHT)

    def step(self, source, labels, target):
        batch = {
            "G": self.features,
            "C": self.classes,
            "D": self.domains,
            "src_imgs": source,
            "src_labels": labels,
            "src_domain": torch.zeros(len(source)),
            "target_imgs": target,
            "target_domain": torch.ones(len(target)),
        }
        self.hook(batch)


class Ours:
    """A step as `fit_dann` makes it, and an epoch of it."""

    def __init__(self):
        self.network = dann.DomainAdversarialNetwork()
        self.weights = list(self.network.parameters())
        self.optimiser = torch.optim.SGD(self.weights, lr=0.01, momentum=0.9)

    def step(self, source, labels, target):
        class_loss, domain_loss, _ = dann.dann_losses(
            self.network,
            dann.batch_to_pixels(source),
            dann.batch_to_pixels(target),
            labels,
            WEIGHT,
        )
        self.optimiser.zero_grad()
        (class_loss + domain_loss).backward()
        self.optimiser.step()
        return class_loss.item()

    def epoch(self, source, target):
        images, labels = source
        target_images, _ = target
        dann.fit_dann(self.network, images, labels, target_images, SETTINGS)


def standardise(images):
    return dann.layers.Standardise()(dann.batch_to_pixels(images)).contiguous()


def measure(source, target, name, make_peer, rounds):
    source_images, source_labels = source
    target_images, _ = target
    images = torch.tensor(source_images[:BATCH])
    labels = torch.tensor(source_labels[:BATCH])
    unlabelled = torch.tensor(target_images[:BATCH])

    peer = make_peer()
    pixels = standardise(images)
    steps = {name: partial(peer.step, pixels, labels, standardise(unlabelled))}
    epochs = {name: partial(peer.epoch, source, target)}
    changes = {name: change_of_weights(peer.weights, steps[name])}
    for way in OURS:
        ours = Ours()
        steps[way] = partial(run_as, way, ours.step, images, labels, unlabelled)
        epochs[way] = partial(run_as, way, ours.epoch, source, target)
        changes[way] = change_of_weights(ours.weights, steps[way])

    yield from compare(
        f"DANN, a step of {BATCH} + {BATCH} images",
        steps,
        4 * rounds,
        least_cosine,
        say_least_cosine,
        changes,
    )
    yield from compare(f"DANN, an epoch of {IMAGES} images", epochs, rounds)


def measure_pytorch_adapt(source, target, rounds):
    # Its version is asked for here, so that other comparisons run without the package.
    name = name_peer("pytorch-adapt")
    return measure(source, target, name, PytorchAdapt, rounds)


def list_comparisons():
    mnist = datasets.load_mnist("train")
    mnist_m = datasets.load_mnist_m("train")
    source = mnist.images[:IMAGES], mnist.labels[:IMAGES]
    target = mnist_m.images[:IMAGES], mnist_m.labels[:IMAGES]
    return {
        "DANN plain loop": partial(measure, source, target, "plain loop", Plain),
        "DANN pytorch-adapt": partial(measure_pytorch_adapt, source, target),
    }


if __name__ == "__main__":
    main(__doc__, [list_comparisons])
