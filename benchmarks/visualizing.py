"""Saliency, attacks and class visualisation, against captum, torchattacks, foolbox and
lucent.

Peers get `plain`, the same SqueezeNet 1.1 as torchvision hands it out, NCHW, but
frozen, which favours them. Maps of SmoothGrad differ in their noise. An attack ends,
for both, with a look whether the saved picture fools the network.
"""

import copy
from functools import partial

import foolbox
import torch
import torchattacks
from captum.attr import (
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Saliency,
)
from comparison import Comparison, copy_contiguous, name_peer, say_cosine
from lucent.optvis import objectives, param, render, transform

from dlapps import adversarial, class_visualization, datasets, pretrained, saliency
from dlapps.core.class_scores import float32_logits, pick
from dlapps.core.images import round_to_8_bits, stack_pixels

NUM_PICTURES = 16
LAYER = "backbone.features.12"
CLASSES = torch.arange(0, 1000, 125)
NUM_STEPS = 24
EPSILON = 1 / 255


def input_gradient(network, plain, x, y):
    peer = Saliency(plain)

    def theirs():
        leaf = x.clone().requires_grad_()
        return peer.attribute(leaf, target=y).amax(1)

    ours = partial(saliency.input_gradient, network, x, y)
    what = f"input gradient, {NUM_PICTURES} pictures"
    return Comparison(what, name_peer("captum"), theirs, ours, say_cosine)


def smooth_grad(network, plain, x, y):
    peer = NoiseTunnel(Saliency(plain))

    def theirs():
        leaf = x.clone().requires_grad_()
        gradients = peer.attribute(
            leaf, nt_samples=50, stdevs=0.15, target=y, abs=False
        )
        return gradients.abs().amax(1)

    ours = partial(saliency.smooth_grad, network, x, y)
    what = "SmoothGrad, 1 picture"
    return Comparison(what, name_peer("captum"), theirs, ours, say_cosine)


def integrated_gradients(network, plain, x, y):
    peer = IntegratedGradients(plain)

    def theirs():
        return peer.attribute(x, target=y).sum(1)

    ours = partial(saliency.integrated_gradients, network, x, y)
    what = "integrated gradients, 1 picture"
    return Comparison(what, name_peer("captum"), theirs, ours, say_cosine)


def grad_cam(network, plain, x, y):
    peer = LayerGradCam(plain, plain.get_submodule(LAYER))

    def theirs():
        maps = peer.attribute(x, target=y, relu_attributions=True)
        enlarged = LayerAttribution.interpolate(maps, x.shape[2:], "bilinear")
        return enlarged.detach().squeeze(1)

    ours = partial(saliency.grad_cam, network, x, LAYER, y)
    what = f"Grad-CAM, {NUM_PICTURES} pictures"
    return Comparison(what, name_peer("captum"), theirs, ours, say_cosine)


def torchattacks_fgsm(network, plain, x, y):
    peer = torchattacks.FGSM(plain, eps=EPSILON)

    def theirs():
        return is_fooled(plain, peer(x, y), y)

    def ours():
        return adversarial.fgsm(network, x, EPSILON, y).success

    what = f"FGSM, {NUM_PICTURES} pictures"
    return Comparison(what, name_peer("torchattacks"), theirs, ours, say_success)


def torchattacks_pgd(network, plain, x, y):
    peer = torchattacks.PGD(plain, EPSILON, EPSILON / 4, steps=10)

    def theirs():
        return is_fooled(plain, peer(x, y), y)

    return compare_pgd(network, x, y, "torchattacks", theirs)


def foolbox_pgd(network, plain, x, y):
    model = foolbox.PyTorchModel(plain, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.LinfPGD(steps=10, abs_stepsize=EPSILON / 4)

    def theirs():
        _, images, _ = peer(model, x, y, epsilons=EPSILON)
        return is_fooled(plain, images, y)

    return compare_pgd(network, x, y, "foolbox", theirs)


def compare_pgd(network, x, y, package, theirs):
    def ours():
        return adversarial.pgd(network, x, EPSILON, y).success

    what = f"PGD of 10 steps, {NUM_PICTURES} pictures"
    return Comparison(what, name_peer(package), theirs, ours, say_success)


@torch.no_grad()
def is_fooled(plain, images, y):
    """What a user of a peer adds, and `adversarial` does by itself: a look at the saved
    picture.
    """
    return plain(round_to_8_bits(images)).argmax(1) != y


def say_success(theirs, ours):
    return f"success {theirs.float().mean():.2f} / {ours.float().mean():.2f}"


def draw_classes(network, plain):
    """All classes in one batch, Fourier and decorrelated colours, moved, scaled,
    turned, seen at 224 x 224 by both, with Adam's steps of .02. dlapps penalises the
    total variation besides.
    """
    moves = [
        transform.jitter(16),
        transform.random_scale([0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3]),
        transform.random_rotate(list(range(-15, 16))),
        transform.jitter(8),
    ]

    def loss(layers):
        logits = layers("backbone_classifier").flatten(1)
        return -pick(logits, CLASSES).sum()

    def theirs():
        # Its hooks stay on the network, so each run gets a copy.
        (pictures,) = render.render_vis(
            copy.deepcopy(plain),
            objectives.Objective(loss),
            partial(param.image, 224, batch=len(CLASSES)),
            optimizer=partial(torch.optim.Adam, lr=0.02),
            transforms=moves,
            thresholds=(NUM_STEPS,),
            preprocess=False,
            progress=False,
            show_image=False,
            fixed_image_size=224,
        )
        return torch.from_numpy(pictures).movedim(-1, 1)

    def ours():
        return class_visualization.visualize(
            network, CLASSES, class_visualization.MODERN, num_steps=NUM_STEPS
        )

    what = f"{len(CLASSES)} classes drawn in {NUM_STEPS} steps"
    agree = partial(say_scores, network)
    return Comparison(what, name_peer("torch-lucent"), theirs, ours, agree)


def say_scores(network, theirs, ours):
    return f"score {mean_score(network, theirs):.0f} / {mean_score(network, ours):.0f}"


def mean_score(network, pictures):
    return pick(float32_logits(network, pictures), CLASSES).mean()


def list_comparisons():
    network = pretrained.load("squeezenet1_1")
    plain = copy_contiguous(network)
    x = stack_pixels(datasets.load_imagenet20().images[:NUM_PICTURES])
    # The classes that the network reads in the pictures.
    y = float32_logits(network, x).argmax(1)
    yield input_gradient(network, plain, x, y)
    yield smooth_grad(network, plain, x[:1], y[:1])
    yield integrated_gradients(network, plain, x[:1], y[:1])
    yield grad_cam(network, plain, x, y)
    yield torchattacks_fgsm(network, plain, x, y)
    yield torchattacks_pgd(network, plain, x, y)
    yield foolbox_pgd(network, plain, x, y)
    yield draw_classes(network, plain)
