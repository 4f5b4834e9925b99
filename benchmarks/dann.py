"""Domain-adversarial training, against the loop one writes first and pytorch-adapt.

All train copies of one network on the same batch. Those of the peers are NCHW, and see
the source and the target one after the other. The plain loop reads the loss at each
step; pytorch-adapt's hook makes its own updates.
"""

import copy
from functools import partial

import torch
from comparison import (
    Comparison,
    change_of_weights,
    copy_contiguous,
    name_peer,
    say_cosine,
)
from pytorch_adapt.hooks import DANNHook
from pytorch_adapt.weighters import SumWeighter
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from dlapps import dann, datasets
from dlapps.core.training import minimise

BATCH_SIZE = 64
NUM_STEPS = 20
WEIGHT = 0.5


def train_plainly(start, source, labels, target):
    network = copy_contiguous(start)
    optimiser = make_optimiser(network)
    for _ in range(NUM_STEPS):
        optimiser.zero_grad()
        source_features = network.feature_extractor(source)
        target_features = network.feature_extractor(target)
        class_loss = cross_entropy(network.label_predictor(source_features), labels)
        source_loss = plain_domain_loss(network, source_features, 0.0)
        target_loss = plain_domain_loss(network, target_features, 1.0)
        loss = class_loss + source_loss / 2 + target_loss / 2
        loss.backward()
        optimiser.step()
        loss.item()
    return change_of_weights(start, network)


def plain_domain_loss(network, features, domain):
    reversed_features = dann.GradientReversal.apply(features, WEIGHT)
    logits = network.domain_classifier(reversed_features)
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain))


def train_by_pytorch_adapt(start, source, labels, target):
    network = copy_contiguous(start)
    parts = {
        "G": network.feature_extractor,
        "C": network.label_predictor,
        "D": network.domain_classifier,
    }
    optimisers = []
    for part in parts.values():
        optimisers.append(make_optimiser(part))
    # One loss of all domain labels, as the others have it, in place of one for each
    # domain.
    weights = {"src_domain_loss": 0.5, "target_domain_loss": 0.5}
    hook = DANNHook(
        optimisers, SumWeighter(weights=weights), gradient_reversal_weight=WEIGHT
    )
    batch = {
        "src_imgs": source,
        "src_labels": labels,
        "src_domain": torch.zeros(len(source)),
        "target_imgs": target,
        "target_domain": torch.ones(len(target)),
    }
    for _ in range(NUM_STEPS):
        hook(parts | batch)
    return change_of_weights(start, network)


def train(start, source, labels, target):
    """The steps of `fit_dann`."""
    network = copy.deepcopy(start)
    optimiser = make_optimiser(network)
    for _ in range(NUM_STEPS):
        class_loss, domain_loss, _ = dann.dann_losses(
            network, source, target, labels, WEIGHT
        )
        minimise(class_loss + domain_loss, optimiser)
        class_loss.item()
    return change_of_weights(start, network)


def make_optimiser(network):
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)


def list_comparisons():
    mnist = datasets.load_mnist("train")
    mnist_m = datasets.load_mnist_m("train")
    source = dann.batch_to_pixels(mnist.images[:BATCH_SIZE])
    target = dann.batch_to_pixels(mnist_m.images[:BATCH_SIZE])
    labels = torch.from_numpy(mnist.labels[:BATCH_SIZE])
    start = dann.DomainAdversarialNetwork()
    what = f"DANN, {NUM_STEPS} steps of {BATCH_SIZE} + {BATCH_SIZE} images"
    ours = partial(train, start, source, labels, target)
    plain_source = source.contiguous()
    plain_target = target.contiguous()
    peers = {
        "plain loop": train_plainly,
        name_peer("pytorch-adapt"): train_by_pytorch_adapt,
    }
    for peer, train_peer in peers.items():
        theirs = partial(train_peer, start, plain_source, labels, plain_target)
        yield Comparison(what, peer, theirs, ours, say_cosine)
