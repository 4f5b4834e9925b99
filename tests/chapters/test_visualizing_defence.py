"""Adversarial training of Chapter 2's study."""

import torch

from dlapps.adversarial import pgd
from studies.visualizing_defence import fit_digits

torch.set_num_threads(1)


def test_training_on_adversarial_digits_makes_a_network_robust():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 2
    images = torch.zeros(256, 1, 28, 28)
    # A strong feature that is right in nine of ten, which half is bright, and a weak
    # one that always is: all pixels.
    bright = torch.where(torch.rand(256, generator=generator) < 0.9, labels, 1 - labels)
    images[bright == 0, :, :14] += 0.4
    images[bright == 1, :, 14:] += 0.4
    noise = torch.rand(256, 1, 28, 28, generator=generator)
    images += 0.08 + 0.12 * labels.view(-1, 1, 1, 1) + 0.24 * noise
    before = torch.random.get_rng_state()
    plain = fit_digits(images, labels, 0.0, 25, seed=0)
    robust = fit_digits(images, labels, 0.15, 25, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)

    def accuracy(network, pixels):
        return float((network(pixels).argmax(1) == labels).float().mean())

    def attacked_accuracy(network):
        return accuracy(network, pgd(network, images, 0.15, labels).images)

    assert accuracy(plain, images) > 0.8
    assert accuracy(robust, images) > 0.8
    assert attacked_accuracy(robust) > attacked_accuracy(plain) + 0.2
    assert attacked_accuracy(robust) > 0.8
