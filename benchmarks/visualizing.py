"""Saliency, attacks and class visualisation against their well-known peers.

Peers get the same SqueezeNet 1.1 as torchvision hands it out, NCHW and float32, but
frozen (which favours them; grad-cam needs it unfrozen). The agreement is the least
cosine between maps (those of SmoothGrad differ in their noise), the success of attacks
or the mean score of the visualised classes, the peer's first. An attack ends, for both,
with a look in float32 whether the saved picture fools the network. Pictures are the
practical's where they are at hand, else foolbox's 20 of ImageNet; PGD of 20 steps is
made on grey digits. `python benchmarks/visualizing.py [--rounds 5] [--threads 1]
[NAME ...]`
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from timing import (
    compare,
    least_cosine,
    main,
    name_peer,
    run_as,
    say_least_cosine,
)

from dlapps import adversarial, class_visualization, datasets, pretrained, saliency
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import as_pictures, round_to_8_bits, stack_pixels

PICTURES = 16
NUM_STEPS = 24
LAYER = "backbone.features.12"
CLASSES = list(range(0, 1000, 63))


class Bench:
    """A network, the same as peers have it, and pictures with their classes."""

    def __init__(self, network, x, y):
        self.network = network
        self.plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        self.x = x
        self.y = y

    def success(self, images):
        """What a user of a peer adds, and `adversarial` does by itself: a look at the
        saved picture.
        """
        with torch.no_grad():
            return self.plain(round_to_8_bits(images)).argmax(1) != self.y


def load_bench():
    """SqueezeNet 1.1, and pictures with the classes that it reads in them."""
    pictures = datasets.load_imagenet20().images
    network = pretrained.load("squeezenet1_1")
    x = stack_pixels(pictures[:PICTURES])
    return Bench(network, x, float32_logits(network, x).argmax(1))


def load_digits():
    """The committed network of digits that was trained as usual, and 200 grey test
    digits of 28 x 28 pixels.
    """
    test = datasets.load_mnist("test")
    network = adversarial.load_digit_networks()["plain"]
    x = as_pictures(test.images[:200])
    return Bench(network, x, torch.from_numpy(test.labels[:200]))


# Each comparison returns two functions: what the peer runs, and what dlapps runs. Peers
# are imported within, so that the others run without them.


def captum_input_gradient(bench):
    from captum.attr import Saliency

    peer = Saliency(bench.plain)

    def theirs():
        x = bench.x.clone().requires_grad_()
        return peer.attribute(x, target=bench.y).amax(1)

    def ours():
        return saliency.input_gradient(bench.network, bench.x, bench.y)

    return theirs, ours


def captum_smooth_grad(bench):
    from captum.attr import NoiseTunnel, Saliency

    peer = NoiseTunnel(Saliency(bench.plain))
    x = bench.x[:1]
    y = bench.y[:1]

    def theirs():
        noisy = x.clone().requires_grad_()
        gradients = peer.attribute(
            noisy, nt_samples=50, stdevs=0.15, target=y, abs=False
        )
        return gradients.abs().amax(1)

    def ours():
        return saliency.smooth_grad(bench.network, x, y, 0.15, 50)

    return theirs, ours


def captum_integrated_gradients(bench):
    from captum.attr import IntegratedGradients

    peer = IntegratedGradients(bench.plain)
    x = bench.x[:1]
    y = bench.y[:1]

    def theirs():
        return peer.attribute(x, target=y).sum(1)

    def ours():
        return saliency.integrated_gradients(bench.network, x, y)

    return theirs, ours


def captum_grad_cam(bench):
    from captum.attr import LayerAttribution, LayerGradCam

    peer = LayerGradCam(bench.plain, bench.plain.get_submodule(LAYER))

    def theirs():
        maps = peer.attribute(bench.x, target=bench.y, relu_attributions=True)
        size = bench.x.shape[2:]
        enlarged = LayerAttribution.interpolate(maps, size, "bilinear")
        return enlarged.detach().squeeze(1)

    def ours():
        return saliency.grad_cam(bench.network, bench.x, LAYER, bench.y)

    return theirs, ours


def grad_cam_grad_cam(bench):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(int(label)) for label in bench.y]
    unfrozen = copy.deepcopy(bench.plain).requires_grad_(True)
    peer = GradCAM(model=unfrozen, target_layers=[unfrozen.get_submodule(LAYER)])

    def theirs():
        return torch.from_numpy(peer(bench.x, targets=targets))

    def ours():
        return saliency.grad_cam(bench.network, bench.x, LAYER, bench.y)

    return theirs, ours


def torchattacks_fgsm(bench):
    from torchattacks import FGSM

    peer = FGSM(bench.plain, eps=2 / 255)

    def theirs():
        return bench.success(peer(bench.x, bench.y))

    def ours():
        return adversarial.fgsm(bench.network, bench.x, 2 / 255, bench.y)

    return theirs, ours


def torchattacks_pgd(bench):
    from torchattacks import PGD

    peer = PGD(bench.plain, eps=1 / 255, alpha=0.25 / 255, steps=10)

    def theirs():
        return bench.success(peer(bench.x, bench.y))

    def ours():
        return adversarial.pgd(bench.network, bench.x, 1 / 255, bench.y)

    return theirs, ours


def torchattacks_pgd_in_grey(_bench):
    from torchattacks import PGD

    digits = load_digits()
    peer = PGD(digits.plain, eps=0.1, alpha=0.0125, steps=20, random_start=False)

    def theirs():
        return digits.success(peer(digits.x, digits.y))

    def ours():
        return adversarial.pgd(
            digits.network, digits.x, 0.1, digits.y, num_steps=20, random_start=False
        )

    return theirs, ours


def foolbox_fgsm(bench):
    import foolbox

    model = foolbox.PyTorchModel(bench.plain, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.FGSM()

    def theirs():
        _, clipped, _ = peer(model, bench.x, bench.y, epsilons=2 / 255)
        return bench.success(clipped)

    def ours():
        return adversarial.fgsm(bench.network, bench.x, 2 / 255, bench.y)

    return theirs, ours


def foolbox_pgd(bench):
    import foolbox

    model = foolbox.PyTorchModel(bench.plain, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.LinfPGD(steps=10, abs_stepsize=0.25 / 255)

    def theirs():
        _, clipped, _ = peer(model, bench.x, bench.y, epsilons=1 / 255)
        return bench.success(clipped)

    def ours():
        return adversarial.pgd(bench.network, bench.x, 1 / 255, bench.y)

    return theirs, ours


def lucent_class_visualisation(bench):
    """All classes in one batch, Fourier and decorrelated colours, moved, scaled,
    turned, seen at 224 x 224 by both, with Adam's steps of .02. dlapps penalises the
    total variation besides.
    """
    from lucent.optvis import objectives, param, render, transform

    rows = list(range(len(CLASSES)))
    objective = objectives.Objective(
        lambda layers: -layers("backbone_classifier")[rows, CLASSES].sum()
    )
    moves = [
        transform.jitter(16),
        transform.random_scale([0.7 + 0.06 * step for step in range(11)]),
        transform.random_rotate(list(range(-15, 16))),
        transform.jitter(8),
    ]

    def theirs():
        # Its hooks stay on the network, so each run gets a copy.
        frames = render.render_vis(
            copy.deepcopy(bench.plain),
            objective,
            param_f=lambda: param.image(224, batch=len(CLASSES)),
            transforms=moves,
            preprocess=False,
            progress=False,
            show_image=False,
            fixed_image_size=224,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.02),
            thresholds=(NUM_STEPS,),
        )
        return torch.from_numpy(frames[0]).movedim(-1, 1)

    def ours():
        return class_visualization.visualize(
            bench.network, CLASSES, class_visualization.MODERN, num_steps=NUM_STEPS
        )

    return theirs, ours


# How a peer and dlapps agree, in words.


def agree_on_maps(_bench, theirs, ours):
    return say_least_cosine(theirs, ours)


def agree_on_success(_bench, theirs, ours):
    return f"success {theirs.float().mean():.2f} / {ours.success.float().mean():.2f}"


def agree_on_scores(bench, theirs, ours):
    return f"score {mean_score(bench, theirs):.0f} / {mean_score(bench, ours):.0f}"


def mean_score(bench, pictures):
    logits = float32_logits(bench.network, pictures)
    return logits[range(len(CLASSES)), CLASSES].mean()


# The least cosine between what dlapps gives in float32 and under autocast.


def cosine_of_perturbations(first, second):
    return least_cosine(first.images - first.clean, second.images - second.clean)


def cosine_of_pictures(first, second):
    return least_cosine(first - 0.5, second - 0.5)


@dataclass(frozen=True)
class Comparison:
    """make(bench): what the peer runs, and what dlapps runs. cosine: None where dlapps
    computes in float32 only.
    """

    package: str
    what: str
    make: Callable
    agree: Callable = agree_on_maps
    cosine: Callable | None = least_cosine

    def measure(self, bench, rounds):
        peer = name_peer(self.package)
        theirs, ours = self.make(bench)
        ways = {peer: theirs, "float32": ours}
        if self.cosine:
            ways["autocast"] = partial(run_as, "autocast", ours)
        agree = partial(self.agree, bench)
        return compare(self.what, ways, rounds, self.cosine, agree)


def attack(package, what, make):
    return Comparison(package, what, make, agree_on_success, cosine_of_perturbations)


ALL = f"{PICTURES} pictures"
COMPARISONS = (
    Comparison("captum", f"input gradient, {ALL}", captum_input_gradient, cosine=None),
    Comparison("captum", "SmoothGrad, 1 picture", captum_smooth_grad),
    Comparison(
        "captum",
        "integrated gradients, 1 picture",
        captum_integrated_gradients,
        cosine=None,
    ),
    Comparison("captum", f"Grad-CAM, {ALL}", captum_grad_cam),
    Comparison("grad-cam", f"Grad-CAM, {ALL}", grad_cam_grad_cam),
    attack("torchattacks", f"FGSM, {ALL}", torchattacks_fgsm),
    attack("torchattacks", f"PGD of 10 steps, {ALL}", torchattacks_pgd),
    attack(
        "torchattacks",
        "PGD of 20 steps, 200 digits of 28 x 28",
        torchattacks_pgd_in_grey,
    ),
    attack("foolbox", f"FGSM, {ALL}", foolbox_fgsm),
    attack("foolbox", f"PGD of 10 steps, {ALL}", foolbox_pgd),
    Comparison(
        "torch-lucent",
        f"{len(CLASSES)} classes, {NUM_STEPS} steps",
        lucent_class_visualisation,
        agree_on_scores,
        cosine_of_pictures,
    ),
)


def list_comparisons():
    bench = load_bench()
    comparisons = {}
    for comparison in COMPARISONS:
        name = f"{comparison.package} {comparison.what}"
        comparisons[name] = partial(comparison.measure, bench)
    return comparisons


if __name__ == "__main__":
    main(__doc__, [list_comparisons])
