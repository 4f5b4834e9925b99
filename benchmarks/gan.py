"""Training a DCGAN and a conditional DCGAN against the loop one writes first.

The peer is the same networks as pytorch/examples' dcgan has them: nn.Sequential ending
in a sigmoid, BCELoss, Adam, NCHW, float32, backward through all of D for G's update,
labels as one-hot maps, and for whole epochs a DataLoader with PIL transforms and two
workers of its own. Steps and epochs of both run here on the same digits. The cosine is
that of the change of all weights in the first step. `python benchmarks/gan.py [--rounds
5] [--threads 1] [NAME ...]`
"""

from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from timing import OURS, change_of_weights, compare, least_cosine, main, run_as
from torch import nn
from torchvision import transforms

from dlapps import datasets, gan
from dlapps.gan.sampling import from_uint8
from dlapps.gan.training import Trainer

BATCH = 128
WORKERS = 2


class Digits(torch.utils.data.Dataset):
    """As torchvision's MNIST: one PIL picture at a time through transforms."""

    def __init__(self, images, labels):
        self.images = images
        self.labels = labels
        steps = [
            transforms.Resize(32),
            transforms.ToTensor(),
            transforms.Normalize((0.5,), (0.5,)),
        ]
        self.transform = transforms.Compose(steps)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        picture = Image.fromarray(self.images[index])
        return self.transform(picture), int(self.labels[index])


def up(before, after, stride=2, padding=1):
    return nn.Sequential(
        nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(True),
    )


def down(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 4, 2, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.2, inplace=True),
    )


class PlainGenerator(nn.Module):
    def __init__(self, conditional):
        super().__init__()
        if conditional:
            self.z = up(100, 256, stride=1, padding=0)
            self.y = up(10, 256, stride=1, padding=0)
            self.rest = nn.Sequential(
                up(512, 256),
                up(256, 128),
                nn.ConvTranspose2d(128, 1, 4, 2, 1, bias=False),
            )
        else:
            self.rest = nn.Sequential(
                up(100, 128, stride=1, padding=0),
                up(128, 64),
                up(64, 32),
                nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False),
            )

    def forward(self, z, y=None):
        maps = z
        if y is not None:
            labels = y.view(-1, 10, 1, 1)
            maps = torch.cat([self.z(z), self.y(labels)], 1)
        return torch.tanh(self.rest(maps))


class PlainDiscriminator(nn.Module):
    def __init__(self, conditional):
        super().__init__()
        if conditional:
            self.x = self.first(1)
            self.y = self.first(10)
            self.rest = nn.Sequential(
                down(128, 256),
                down(256, 512),
                nn.Conv2d(512, 1, 4, bias=False),
            )
        else:
            self.rest = nn.Sequential(
                down(1, 32),
                down(32, 64),
                down(64, 128),
                nn.Conv2d(128, 1, 4, bias=False),
            )

    def first(self, channels):
        return nn.Sequential(
            nn.Conv2d(channels, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)
        )

    def forward(self, x, y=None):
        maps = x
        if y is not None:
            labels = y.view(-1, 10, 1, 1).expand(-1, -1, 32, 32)
            maps = torch.cat([self.x(x), self.y(labels)], 1)
        return torch.sigmoid(self.rest(maps)).view(-1)


class Plain:
    """The example's training step and epoch."""

    def __init__(self, conditional):
        self.conditional = conditional
        self.generator = PlainGenerator(conditional)
        self.discriminator = PlainDiscriminator(conditional)
        self.optimiser_g = torch.optim.Adam(
            self.generator.parameters(), lr=5e-4, betas=(0.5, 0.999)
        )
        self.optimiser_d = torch.optim.Adam(
            self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999)
        )
        self.criterion = nn.BCELoss()

    def step(self, real, labels):
        y = nn.functional.one_hot(labels, 10).float() if self.conditional else None
        ones = torch.ones(len(real))
        zeros = torch.zeros(len(real))
        self.discriminator.zero_grad()
        loss_real = self.criterion(self.discriminator(real, y), ones)
        loss_real.backward()
        fake = self.generator(torch.randn(len(real), 100, 1, 1), y)
        loss_fake = self.criterion(self.discriminator(fake.detach(), y), zeros)
        loss_fake.backward()
        self.optimiser_d.step()
        self.generator.zero_grad()
        loss = self.criterion(self.discriminator(fake, y), ones)
        loss.backward()
        self.optimiser_g.step()
        return loss.item(), (loss_real + loss_fake).item()

    def epoch(self, images, labels):
        loader = torch.utils.data.DataLoader(
            Digits(images, labels), BATCH, shuffle=True, num_workers=WORKERS
        )
        for real, y in loader:
            self.step(real, y)


class Ours:
    """A step as `fit_gan` makes it, and an epoch of it, resizing and all."""

    def __init__(self, conditional):
        settings = gan.CONDITIONAL_PRACTICAL if conditional else gan.PRACTICAL
        self.conditional = conditional
        self.settings = replace(settings, num_epochs=1)
        generator, discriminator = gan.make_networks(self.settings, 0)
        self.trainer = Trainer(generator, discriminator, self.settings, 0)
        self.weights = list(generator.parameters()) + list(discriminator.parameters())

    def step(self, pixels, labels):
        classes = labels if self.conditional else None
        measured = self.trainer.update(from_uint8(pixels), classes)
        return torch.stack(list(measured.values())).tolist()

    def epoch(self, images, labels):
        gan.fit_gan(
            torch.tensor(images),
            self.settings,
            labels=torch.tensor(labels) if self.conditional else None,
            frame_every=10**6,
        )


def measure(conditional, data, rounds):
    if conditional:
        name = "conditional DCGAN"
        num_images = 4 * BATCH
        num_steps = rounds
    else:
        name = "DCGAN"
        num_images = 10 * BATCH
        num_steps = 4 * rounds
    images = data.images[:num_images]
    labels = data.labels[:num_images]
    pixels = gan.prepare_images(torch.tensor(images[:BATCH]), 32)
    real = pixels[:, None].float() / 127.5 - 1
    y = torch.tensor(labels[:BATCH])

    plain = Plain(conditional)
    steps = {"plain loop": partial(plain.step, real, y)}
    epochs = {"plain loop": partial(plain.epoch, images, labels)}
    changes = {}
    for way in OURS:
        ours = Ours(conditional)
        steps[way] = partial(run_as, way, ours.step, pixels, y)
        epochs[way] = partial(run_as, way, ours.epoch, images, labels)
        changes[way] = change_of_weights(ours.weights, steps[way])

    yield from compare(
        f"{name}, a step", steps, num_steps, least_cosine, results=changes
    )
    yield from compare(f"{name}, an epoch of {num_images} images", epochs, rounds)


def list_comparisons():
    data = datasets.load_mnist("train")
    return {
        "DCGAN": partial(measure, False, data),
        "conditional DCGAN": partial(measure, True, data),
    }


if __name__ == "__main__":
    main(__doc__, [list_comparisons])
