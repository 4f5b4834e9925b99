"""Training a DCGAN and a conditional DCGAN, against the loop one writes first.

That is the loop of pytorch/examples' dcgan: probabilities, BCELoss, Adam, NCHW, and for
G's update a pass back through all weights of D. Both train copies of the same networks
on the same batch. The first steps of Adam are as long for a gradient near 0 as for any
other, so that agreement shows each rounding.
"""

import copy
from functools import partial

import torch
from comparison import Comparison, change_of_weights, copy_contiguous, say_cosine
from torch import nn

from dlapps import datasets, gan
from dlapps.core.runtime import make_generator
from dlapps.gan.sampling import from_uint8
from dlapps.gan.steps import call
from dlapps.gan.training import BETAS, Trainer

BATCH_SIZE = 128


def train_plainly(start, settings, num_steps, real, labels):
    networks = copy_contiguous(start)
    generator, discriminator = networks
    adam_g = torch.optim.Adam(generator.parameters(), settings.generator_rate, BETAS)
    adam_d = torch.optim.Adam(
        discriminator.parameters(), settings.discriminator_rate, BETAS
    )
    criterion = nn.BCELoss()
    ones = torch.ones(len(real))
    zeros = torch.zeros(len(real))
    latents = make_generator(0)
    for _ in range(num_steps):
        discriminator.zero_grad()
        loss_real = criterion(call(discriminator, real, labels).sigmoid(), ones)
        loss_real.backward()
        z = torch.randn(len(real), settings.latent_dim, generator=latents)
        fake = call(generator, z, labels)
        guesses = call(discriminator, fake.detach(), labels).sigmoid()
        loss_fake = criterion(guesses, zeros)
        loss_fake.backward()
        adam_d.step()
        generator.zero_grad()
        loss = criterion(call(discriminator, fake, labels).sigmoid(), ones)
        loss.backward()
        adam_g.step()
        loss.item()
    return change_of_weights(start, networks)


def train(start, settings, num_steps, real, labels):
    """The steps of `fit_gan`."""
    networks = copy.deepcopy(start)
    generator, discriminator = networks
    trainer = Trainer(generator, discriminator, settings, seed=0)
    for _ in range(num_steps):
        for value in trainer.update(real, labels).values():
            value.item()
    return change_of_weights(start, networks)


def compare(name, settings, num_steps, real, labels):
    start = nn.ModuleList(gan.make_networks(settings, seed=0))
    theirs = partial(train_plainly, start, settings, num_steps, real, labels)
    ours = partial(train, start, settings, num_steps, real, labels)
    what = f"{name}, {num_steps} steps of {BATCH_SIZE} images"
    return Comparison(what, "plain loop", theirs, ours, say_cosine)


def list_comparisons():
    digits = datasets.load_mnist("train")
    real = from_uint8(gan.prepare_images(digits.images[:BATCH_SIZE], 32))
    labels = torch.from_numpy(digits.labels[:BATCH_SIZE])
    yield compare("DCGAN", gan.PRACTICAL, 10, real, None)
    yield compare("conditional DCGAN", gan.CONDITIONAL_PRACTICAL, 2, real, labels)
