"""Domain-adversarial training against the loop one writes first, and against pytorch-adapt's DANN.

The plain loop has the same layers, NCHW, float32, passes source and target through them one after the other, and takes
its batches from two DataLoaders with PIL transforms. pytorch-adapt's hook makes its own update of the same layers, fed
by the same loaders; it is left out where the package is not installed. Steps (64 + 64 pictures) and epochs of all run
here on the same pictures, interleaved; medians are printed, and the ratios. "fast" is bfloat16 where the processor has
it, "float32" the same without.
`python benchmarks/domain_adaptation.py [--rounds 5] [--images 1280] [--threads 1] [--workers 2] [--json FILE]`
"""

import argparse
import json
from dataclasses import replace
from importlib.util import find_spec

import torch
from PIL import Image
from timing import time_interleaved
from torch import nn
from torchvision import transforms

from dlapps import dann, datasets
from dlapps.runtime import autocast

BATCH, WEIGHT = 64, 0.5
SETTINGS = replace(dann.PRACTICAL, num_epochs=1, batch_size=BATCH, reversal_weight=WEIGHT)


class Pictures(torch.utils.data.Dataset):
    """One PIL picture at a time through transforms, as torchvision's MNIST."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        steps = [transforms.Grayscale(3)] if images.ndim == 3 else []
        normalise = transforms.Normalize((dann.layers.MNIST_MEAN,) * 3, (dann.layers.MNIST_STD,) * 3)
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), normalise])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class Plain:
    """The practical's three networks, written without thinking of speed."""

    def __init__(self):
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.classes, self.domains = dann.LabelPredictor(), dann.DomainClassifier()
        self.parts = (self.features, self.classes, self.domains)
        parameters = [parameter for part in self.parts for parameter in part.parameters()]
        self.optimiser = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)

    def step(self, source, labels, target):
        self.optimiser.zero_grad()
        source_features, target_features = self.features(source), self.features(target)
        loss = nn.functional.cross_entropy(self.classes(source_features), labels)
        for features, domain in ((source_features, 0.0), (target_features, 1.0)):
            logits = self.domains(dann.GradientReversal.apply(features, WEIGHT))
            loss = loss + nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain))
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def epoch(self, source, target, workers):
        options = {"batch_size": BATCH, "shuffle": True, "num_workers": workers}
        loaders = [torch.utils.data.DataLoader(Pictures(*domain), **options) for domain in (source, target)]
        for (pictures, labels), (unlabelled, _) in zip(*loaders, strict=True):
            self.step(pictures, labels, unlabelled)


class PytorchAdapt(Plain):
    """The same layers and loaders, each update made by pytorch-adapt."""

    def __init__(self):
        super().__init__()
        from pytorch_adapt.hooks import DANNHook

        optimisers = [torch.optim.SGD(part.parameters(), lr=0.01, momentum=0.9) for part in self.parts]
        self.hook = DANNHook(optimisers, gradient_reversal_weight=WEIGHT)

    def step(self, source, labels, target):
        batch = dict(zip("GCD", self.parts, strict=True))
        batch |= {"src_imgs": source, "src_labels": labels, "src_domain": torch.zeros(len(source))}
        self.hook(batch | {"target_imgs": target, "target_domain": torch.ones(len(target))})


class Ours:
    """A step as `fit_dann` makes it, and an epoch of it."""

    def __init__(self, precision):
        self.precision, self.network = precision, dann.DomainAdversarialNetwork()
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)

    def step(self, source, labels, target):
        with autocast("cpu", self.precision):
            losses = dann.dann_losses(self.network, dann.to_pixels(source), dann.to_pixels(target), labels, WEIGHT)
        self.optimiser.zero_grad()
        (losses[0] + losses[1]).backward()
        self.optimiser.step()
        return losses[0].item()

    def epoch(self, source, target):
        dann.fit_dann(self.network, *source, target[0], SETTINGS, precision=self.precision)


def measure(source, target, options):
    peers = {"plain": Plain()} | ({"pytorch_adapt": PytorchAdapt()} if find_spec("pytorch_adapt") else {})
    ours = {precision: Ours(precision) for precision in ("fast", "float32")}
    pictures = [torch.tensor(images[:BATCH]) for images, _ in (source, target)]
    pixels, labels = [dann.to_pixels(part).contiguous() for part in pictures], torch.tensor(source[1][:BATCH])
    steps = {name: lambda peer=peer: peer.step(pixels[0], labels, pixels[1]) for name, peer in peers.items()}
    steps |= {name: lambda one=one: one.step(pictures[0], labels, pictures[1]) for name, one in ours.items()}
    epochs = {name: lambda peer=peer: peer.epoch(source, target, options.workers) for name, peer in peers.items()}
    epochs |= {name: lambda one=one: one.epoch(source, target) for name, one in ours.items()}
    result = {"images": len(source[0])}
    for what, ways, rounds in (("step", steps, 4 * options.rounds), ("epoch", epochs, options.rounds)):
        medians, _ = time_interleaved(ways, rounds)
        result |= {f"{way}_{what}_seconds": round(value, 4) for way, value in medians.items()}
        for peer in peers:
            result |= {f"{way}_{what}_ratio_to_{peer}": round(medians[peer] / medians[way], 2) for way in ours}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=20 * BATCH)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=argparse.FileType("w"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = datasets.load_mnist("train"), datasets.load_mnist_m("train")
    print(f"{parts[1].provenance.name}, {options.threads} threads, {options.workers} workers, {options.rounds} rounds")
    result = measure(*((part.images[: options.images], part.labels[: options.images]) for part in parts), options)
    print(json.dumps(result, indent=1), flush=True)
    if options.json:
        json.dump({"threads": options.threads, "workers": options.workers, "result": result}, options.json, indent=1)


if __name__ == "__main__":
    main()
