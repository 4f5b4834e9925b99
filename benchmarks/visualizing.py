"""Saliency, attacks and class visualisation against their well-known peers.

Peers get the same SqueezeNet 1.1 as torchvision hands it out, NCHW and float32, but
frozen (which favours them; grad-cam needs it unfrozen). The agreement is the least
cosine between maps (those of SmoothGrad differ in their noise), the success of attacks
or the mean score of the visualised classes, the peer's first. An attack ends, for both,
with a look in float32 whether the saved picture fools the network. Pictures are the
practical's where they are at hand, else foolbox's 20 of ImageNet; PGD in L2 is made on
grey digits. `python benchmarks/visualizing.py [--rounds 5] [--threads 1] [NAME ...]`
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from timing import compare, least_cosine, main, name_peer

from dlapps import adversarial, class_visualization, datasets, pretrained, saliency
from dlapps.core import runtime
from dlapps.core.assets import AssetError
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import as_pictures, stack_pixels

PICTURES, NUM_STEPS = 16, 24
LAYER = "backbone.features.12"
CLASSES = tuple(range(0, 1000, 63))


class Bench:
    """The network, the same as peers have it, and pictures with the classes that it
    reads in them.
    """

    def __init__(self):
        self.network = pretrained.load("squeezenet1_1")
        self.plain = copy.deepcopy(self.network).to(
            memory_format=torch.contiguous_format
        )
        self.x = load_pictures()
        self.y = float32_logits(self.network, self.x).argmax(1)

    def success(self, images):
        """What a user of a peer adds, and `adversarial` does by itself: a look at the
        saved picture.
        """
        with torch.no_grad():
            return self.plain(adversarial.round_to_8_bits(images)).argmax(1) != self.y


class Digits(Bench):
    """The committed network of digits that was trained as usual, and 200 grey test
    digits of 28 x 28 pixels.
    """

    def __init__(self):
        test = datasets.load_mnist("test")
        self.network = adversarial.load_digit_networks()["plain"]
        self.plain = copy.deepcopy(self.network).to(
            memory_format=torch.contiguous_format
        )
        self.x, self.y = (
            as_pictures(test.images[:200]),
            torch.from_numpy(test.labels[:200]),
        )


def load_pictures():
    try:
        pictures = datasets.load_imagenet_val25().images
    except AssetError:
        pictures = datasets.load_imagenet20().images
    return stack_pixels(list(pictures)[:PICTURES])


def fast(run):
    with runtime.autocast("cpu"):
        return run()


def captum_input_gradient(bench):
    from captum.attr import Saliency

    peer = Saliency(bench.plain)
    return (
        lambda: peer.attribute(bench.x.clone().requires_grad_(), target=bench.y).amax(
            1
        ),
        lambda: saliency.input_gradient(bench.network, bench.x, bench.y),
    )


def captum_smooth_grad(bench):
    from captum.attr import NoiseTunnel, Saliency

    peer, x, y = NoiseTunnel(Saliency(bench.plain)), bench.x[:1], bench.y[:1]
    options = {"nt_samples": 50, "stdevs": 0.15, "target": y, "abs": False}
    return (
        lambda: peer.attribute(x.clone().requires_grad_(), **options).abs().amax(1),
        lambda: saliency.smooth_grad(bench.network, x, y, 0.15, 50),
    )


def captum_integrated_gradients(bench):
    from captum.attr import IntegratedGradients

    peer, x, y = IntegratedGradients(bench.plain), bench.x[:1], bench.y[:1]
    return (
        lambda: peer.attribute(x, target=y).sum(1),
        lambda: saliency.integrated_gradients(bench.network, x, y),
    )


def captum_grad_cam(bench):
    from captum.attr import LayerAttribution, LayerGradCam

    peer = LayerGradCam(bench.plain, bench.plain.get_submodule(LAYER))

    def enlarged():
        maps = peer.attribute(bench.x, target=bench.y, relu_attributions=True)
        return (
            LayerAttribution.interpolate(maps, bench.x.shape[2:], "bilinear")
            .detach()
            .squeeze(1)
        )

    return enlarged, lambda: saliency.grad_cam(bench.network, bench.x, LAYER, bench.y)


def grad_cam_grad_cam(bench):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    chosen = [ClassifierOutputTarget(int(label)) for label in bench.y]
    unfrozen = copy.deepcopy(bench.plain).requires_grad_(True)
    peer = GradCAM(model=unfrozen, target_layers=[unfrozen.get_submodule(LAYER)])
    return (
        lambda: torch.from_numpy(peer(bench.x, targets=chosen)),
        lambda: saliency.grad_cam(bench.network, bench.x, LAYER, bench.y),
    )


def torchattacks_fgsm(bench):
    from torchattacks import FGSM

    peer = FGSM(bench.plain, eps=2 / 255)
    return (
        lambda: bench.success(peer(bench.x, bench.y)),
        lambda: adversarial.fgsm(bench.network, bench.x, 2 / 255, bench.y),
    )


def torchattacks_pgd(bench):
    from torchattacks import PGD

    peer = PGD(bench.plain, eps=1 / 255, alpha=0.25 / 255, steps=10)
    return (
        lambda: bench.success(peer(bench.x, bench.y)),
        lambda: adversarial.pgd(bench.network, bench.x, 1 / 255, bench.y),
    )


def torchattacks_pgd_in_grey(bench):
    from torchattacks import PGDL2

    digits = Digits()
    peer = PGDL2(digits.plain, eps=1.5, alpha=0.2, steps=20, random_start=False)
    options = {"norm": "l2", "num_steps": 20, "step_size": 0.2, "random_start": False}
    return (
        lambda: digits.success(peer(digits.x, digits.y)),
        lambda: adversarial.pgd(digits.network, digits.x, 1.5, digits.y, **options),
    )


def foolbox_fgsm(bench):
    import foolbox

    peer, model = (
        foolbox.attacks.FGSM(),
        foolbox.PyTorchModel(bench.plain, bounds=(0, 1), device="cpu"),
    )
    return (
        lambda: bench.success(peer(model, bench.x, bench.y, epsilons=2 / 255)[1]),
        lambda: adversarial.fgsm(bench.network, bench.x, 2 / 255, bench.y),
    )


def foolbox_pgd(bench):
    import foolbox

    model = foolbox.PyTorchModel(bench.plain, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.LinfPGD(steps=10, abs_stepsize=0.25 / 255)
    return (
        lambda: bench.success(peer(model, bench.x, bench.y, epsilons=1 / 255)[1]),
        lambda: adversarial.pgd(bench.network, bench.x, 1 / 255, bench.y),
    )


def lucent_class_visualisation(bench):
    """All classes in one batch, Fourier and decorrelated colours, moved, scaled,
    turned, seen at 224 x 224 by both.
    """
    from lucent.optvis import objectives, param, render, transform

    rows, classes = list(range(len(CLASSES))), list(CLASSES)
    objective = objectives.Objective(
        lambda layers: -layers("backbone_classifier")[rows, classes].sum()
    )
    options = {
        "param_f": lambda: param.image(224, batch=len(classes)),
        "transforms": [
            transform.jitter(16),
            transform.random_scale([0.7 + 0.06 * step for step in range(11)]),
            transform.random_rotate(list(range(-15, 16))),
            transform.jitter(8),
        ],
        "preprocess": False,
        "progress": False,
        "show_image": False,
        "fixed_image_size": 224,
        "thresholds": (NUM_STEPS,),
    }

    def theirs():
        # Its hooks stay on the network, so each run gets a copy.
        return torch.from_numpy(
            render.render_vis(copy.deepcopy(bench.plain), objective, **options)[0]
        ).movedim(-1, 1)

    settings = replace(
        class_visualization.MODERN, num_steps=NUM_STEPS, step_size=0.05, regularisers=()
    )
    return (
        theirs,
        lambda: class_visualization.visualize(bench.network, classes, settings).images,
    )


def agree_on_maps(bench, theirs, ours):
    return f"cosine {least_cosine(theirs, ours):.4f}"


def agree_on_success(bench, theirs, ours):
    return f"success {theirs.float().mean():.2f} / {ours.success.float().mean():.2f}"


def agree_on_scores(bench, *pictures):
    scores = [
        float32_logits(bench.network, images)[range(len(CLASSES)), CLASSES].mean()
        for images in pictures
    ]
    return f"score {scores[0]:.0f} / {scores[1]:.0f}"


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

    def rows(self, bench, rounds):
        peer = name_peer(self.package)
        theirs, ours = self.make(bench)
        ways = {peer: theirs, "float32": ours} | (
            {"fast": partial(fast, ours)} if self.cosine else {}
        )
        return compare(self.what, ways, rounds, self.cosine, partial(self.agree, bench))


ATTACK = {"agree": agree_on_success, "cosine": cosine_of_perturbations}
CLASS = {"agree": agree_on_scores, "cosine": cosine_of_pictures}
COMPARISONS = (
    Comparison(
        "captum",
        f"input gradient, {PICTURES} pictures",
        captum_input_gradient,
        cosine=None,
    ),
    Comparison("captum", "SmoothGrad, 1 picture", captum_smooth_grad),
    Comparison(
        "captum",
        "integrated gradients, 1 picture",
        captum_integrated_gradients,
        cosine=None,
    ),
    Comparison("captum", f"Grad-CAM, {PICTURES} pictures", captum_grad_cam),
    Comparison("grad-cam", f"Grad-CAM, {PICTURES} pictures", grad_cam_grad_cam),
    Comparison(
        "torchattacks", f"FGSM, {PICTURES} pictures", torchattacks_fgsm, **ATTACK
    ),
    Comparison(
        "torchattacks",
        f"PGD of 10 steps, {PICTURES} pictures",
        torchattacks_pgd,
        **ATTACK,
    ),
    Comparison(
        "torchattacks",
        "PGD in L2 of 20 steps, 200 digits of 28 x 28",
        torchattacks_pgd_in_grey,
        **ATTACK,
    ),
    Comparison("foolbox", f"FGSM, {PICTURES} pictures", foolbox_fgsm, **ATTACK),
    Comparison(
        "foolbox", f"PGD of 10 steps, {PICTURES} pictures", foolbox_pgd, **ATTACK
    ),
    Comparison(
        "torch-lucent",
        f"{len(CLASSES)} classes, {NUM_STEPS} steps",
        lucent_class_visualisation,
        **CLASS,
    ),
)


def list_comparisons():
    bench = Bench()
    return {
        f"{each.package} {each.what}": partial(each.rows, bench) for each in COMPARISONS
    }


if __name__ == "__main__":
    main(__doc__, list_comparisons)
