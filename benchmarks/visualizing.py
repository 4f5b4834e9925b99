"""Saliency, attacks and class visualisation against their well-known peers.

Peers get the same SqueezeNet 1.1 as torchvision hands it out, NCHW and float32, but frozen (which favours them;
grad-cam needs it unfrozen). All ways of one comparison run here on the same pictures, interleaved; medians are printed,
the ratio to the peer, and the agreement: cosine between maps (those of SmoothGrad differ in their noise), success of
attacks, score of visualised classes. An attack ends, for both, with a look in float32 whether the saved picture fools
the network. "fast" is bfloat16 where the processor has it. A peer that is not installed is skipped.
`python benchmarks/visualizing.py [--rounds 5] [--threads 1] [--pictures 16] [--json FILE] [NAME ...]`
"""

import argparse
import copy
import importlib
import io
import json
from dataclasses import replace
from functools import partial

import torch
from timing import time_interleaved

from dlapps import adversarial, class_visualization, datasets, pretrained, runtime, saliency
from dlapps.assets import AssetError
from dlapps.class_scores import predict
from dlapps.images import stack_pixels

LAYER = "backbone.features.12"
CLASSES = (106, 92, 113, 281)


class Bench:
    """The network, the same as peers have it, and pictures with the classes that it reads in them."""

    def __init__(self, num_pictures):
        self.network = pretrained.load("squeezenet1_1")
        self.plain = copy.deepcopy(self.network).to(memory_format=torch.contiguous_format)
        self.x, self.source = load_pictures(num_pictures)
        self.y = predict(self.network, self.x).argmax(1)

    def success(self, images):
        """What a user of a peer adds, and `adversarial` does by itself: a look at the saved picture."""
        with torch.no_grad():
            return self.plain(adversarial.round_to_8_bits(images)).argmax(1) != self.y


def load_pictures(count):
    """The practical's pictures where they are at hand, else the photos of installed packages."""
    try:
        pictures, source = datasets.load_imagenet_val25().images, "the practical"
    except AssetError:
        pictures, source = datasets.load_photos().images, "installed packages"
    return stack_pixels(list(pictures)[:count]), source


def fast(run):
    with runtime.autocast("cpu"):
        return run()


def cosine(first, second):
    return torch.cosine_similarity(first.flatten(1), second.flatten(1)).mean().item()


def captum_input_gradient(bench):
    attr = importlib.import_module("captum.attr")
    peer = attr.Saliency(bench.plain)
    return {
        "peer": lambda: peer.attribute(bench.x.clone().requires_grad_(), target=bench.y).amax(1),
        "dlapps": lambda: saliency.input_gradient(bench.network, bench.x, bench.y),
    }, cosine


def captum_smooth_grad(bench):
    attr = importlib.import_module("captum.attr")
    peer, x, y = attr.NoiseTunnel(attr.Saliency(bench.plain)), bench.x[:1], bench.y[:1]
    options = {"nt_samples": 50, "stdevs": 0.15, "target": y, "abs": False}
    ours = partial(saliency.smooth_grad, bench.network, x, y, 0.15, 50)
    return {
        "peer": lambda: peer.attribute(x.clone().requires_grad_(), **options).abs().amax(1),
        "dlapps": ours,
        "dlapps fast": lambda: fast(ours),
    }, cosine


def captum_integrated_gradients(bench):
    attr = importlib.import_module("captum.attr")
    peer, x, y = attr.IntegratedGradients(bench.plain), bench.x[:1], bench.y[:1]
    return {
        "peer": lambda: peer.attribute(x, target=y).sum(1),
        "dlapps": lambda: saliency.integrated_gradients(bench.network, x, y),
    }, cosine


def captum_grad_cam(bench):
    attr = importlib.import_module("captum.attr")
    peer = attr.LayerGradCam(bench.plain, bench.plain.get_submodule(LAYER))

    def enlarged():
        maps = peer.attribute(bench.x, target=bench.y, relu_attributions=True)
        return attr.LayerAttribution.interpolate(maps, bench.x.shape[2:], "bilinear").detach().squeeze(1)

    return {"peer": enlarged} | our_grad_cam(bench), cosine


def grad_cam_grad_cam(bench):
    cam = importlib.import_module("pytorch_grad_cam")
    targets = importlib.import_module("pytorch_grad_cam.utils.model_targets")
    chosen = [targets.ClassifierOutputTarget(int(label)) for label in bench.y]
    unfrozen = copy.deepcopy(bench.plain).requires_grad_(True)
    peer = cam.GradCAM(model=unfrozen, target_layers=[unfrozen.get_submodule(LAYER)])
    return {"peer": lambda: torch.from_numpy(peer(bench.x, targets=chosen))} | our_grad_cam(bench), cosine


def our_grad_cam(bench):
    ours = partial(saliency.grad_cam, bench.network, bench.x, LAYER, bench.y)
    return {"dlapps": ours, "dlapps fast": lambda: fast(ours)}


def attack(bench, peer, ours):
    """Both make the pictures and look whether they fool the network once saved."""

    def both():
        return bench.success(peer())

    def agree(theirs, success):
        return f"{theirs.float().mean():.2f} / {success.float().mean():.2f}"

    ways = {"peer": both, "dlapps": lambda: ours().success, "dlapps fast": lambda: fast(ours).success}
    return ways, agree


def torchattacks_fgsm(bench):
    peer = importlib.import_module("torchattacks").FGSM(bench.plain, eps=2 / 255)
    ours = partial(adversarial.fgsm, bench.network, bench.x, 2 / 255, bench.y)
    return attack(bench, lambda: peer(bench.x, bench.y), ours)


def torchattacks_pgd(bench):
    peer = importlib.import_module("torchattacks").PGD(bench.plain, eps=1 / 255, alpha=0.25 / 255, steps=10)
    ours = partial(adversarial.pgd, bench.network, bench.x, 1 / 255, bench.y)
    return attack(bench, lambda: peer(bench.x, bench.y), ours)


def foolbox_fgsm(bench):
    foolbox = importlib.import_module("foolbox")
    model = foolbox.PyTorchModel(bench.plain, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.FGSM()
    ours = partial(adversarial.fgsm, bench.network, bench.x, 2 / 255, bench.y)
    return attack(bench, lambda: peer(model, bench.x, bench.y, epsilons=2 / 255)[1], ours)


def foolbox_pgd(bench):
    foolbox = importlib.import_module("foolbox")
    model = foolbox.PyTorchModel(bench.plain, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.LinfPGD(steps=10, abs_stepsize=0.25 / 255)
    ours = partial(adversarial.pgd, bench.network, bench.x, 1 / 255, bench.y)
    return attack(bench, lambda: peer(model, bench.x, bench.y, epsilons=1 / 255)[1], ours)


def lucent_class_visualisation(bench, num_steps=24):
    """Four classes in one batch, Fourier and decorrelated colours, moved, scaled, turned, seen at 224 x 224 by both."""
    param, transform, render, objectives = (
        importlib.import_module(f"lucent.optvis.{name}") for name in ("param", "transform", "render", "objectives")
    )
    rows, classes = list(range(len(CLASSES))), list(CLASSES)
    objective = objectives.Objective(lambda layers: -layers("backbone_classifier")[rows, classes].sum())
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
        "thresholds": (num_steps,),
    }
    preset = replace(class_visualization.MODERN, num_steps=num_steps, step_size=0.05, regularisers=())
    ours = partial(class_visualization.visualize, bench.network, classes, preset)

    def theirs():
        # Its hooks stay on the network, so each run gets a copy.
        return torch.from_numpy(render.render_vis(copy.deepcopy(bench.plain), objective, **options)[0]).movedim(-1, 1)

    def scores(*images):
        means = [predict(bench.network, pictures)[rows, classes].mean().item() for pictures in images]
        return " / ".join(f"{mean:.0f}" for mean in means)

    ways = {"peer": theirs, "dlapps": lambda: ours().images, "dlapps fast": lambda: fast(ours).images}
    return ways, scores


COMPARISONS = {
    "captum input gradient": captum_input_gradient,
    "captum SmoothGrad": captum_smooth_grad,
    "captum integrated gradients": captum_integrated_gradients,
    "captum Grad-CAM": captum_grad_cam,
    "grad-cam Grad-CAM": grad_cam_grad_cam,
    "torchattacks FGSM": torchattacks_fgsm,
    "torchattacks PGD-10": torchattacks_pgd,
    "foolbox FGSM": foolbox_fgsm,
    "foolbox PGD-10": foolbox_pgd,
    "lucent class visualisation": lucent_class_visualisation,
}


def measure(compare, bench, rounds):
    """One row for each of our ways: seconds, ratio to the peer, agreement with it."""
    ways, agree = compare(bench)
    medians, results = time_interleaved(ways, rounds)
    for way in list(ways)[1:]:
        agreement = agree(results["peer"], results[way])
        yield {
            "way": way,
            "peer_seconds": round(medians["peer"], 4),
            "seconds": round(medians[way], 4),
            "ratio": round(medians["peer"] / medians[way], 2),
            "agreement": agreement if isinstance(agreement, str) else round(agreement, 4),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="comparisons whose name contains one of these words (default: all)")
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=argparse.FileType("w"), default=io.StringIO())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench, rows = Bench(options.pictures), []
    print(f"{len(bench.x)} pictures of {bench.source}, {options.threads} threads, medians of {options.rounds} rounds")
    for name, compare in COMPARISONS.items():
        if options.names and not any(word in name for word in options.names):
            continue
        try:
            for row in measure(compare, bench, options.rounds):
                rows.append({"comparison": name, **row})
                print(json.dumps(rows[-1]), flush=True)
        except ModuleNotFoundError as error:
            print(f"{name}: skipped, {error.name} is not installed")
    json.dump(rows, options.json, indent=1)


if __name__ == "__main__":
    main()
