"""Chapter 2's attacks on pictures that cannot be committed, each beside noise of its size.

The pictures: the first NUM of the practical's 25 and the 500 samples that all three networks read as labelled, squashed
to 224 x 224. Gradients are taken in bfloat16 where the processor has it, every verdict in float32.
"""

import functools
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlapps import adversarial, class_visualization, datasets, pretrained
from dlapps.adversarial import AdversarialExamples, score_examples
from dlapps.core import results, runtime
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import from_pixels, stack_pixels
from dlapps.core.intervals import compare, mcnemar
from dlapps.core.sweeps import sweep
from dlapps.pretrained import PixelNetwork
from studies import attack_methods as methods
from studies.attack_methods import survives
from studies.runs import Calls, Place, cached, nest

NETWORKS = ("squeezenet1_1", "efficientnet_lite0", "efficientnet_lite2")
STINGRAY = 6
# Pictures of the table and of transfer; of the smallest changes, which take a hundred gradients each.
NUM, NUM_SMALLEST = 80, 40
# The universal perturbation is made on so many of the samples and tested on the others.
NUM_MADE_ON, UNIVERSAL = 300, 10 / 255
# Pictures of `load_imagenet20` that SqueezeNet reads as labelled with a probability of less than .95.
ONE_PIXEL = (1, 4, 13, 15, 17)
# Of noise, and where the curves of the smallest epsilon are read off.
LEVELS = (1, 2, 4, 8, 16, 32)
GRID = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16)

Attack = Callable[[PixelNetwork, Tensor, Tensor], AdversarialExamples]
Row = dict[str, Any]


def at(attack: Callable[..., AdversarialExamples], levels: float, **options: Any) -> Attack:
    """An attack away from the labels, epsilon in levels of 255."""
    return lambda network, images, labels: attack(network, images, levels / 255, labels, **options)


TABLE: dict[str, Attack] = {
    "none": at(methods.sign_noise, 0),
    **{f"noise {levels}": at(methods.sign_noise, levels) for levels in LEVELS},
    **{f"FGSM {levels}": at(adversarial.fgsm, levels) for levels in (1, 2, 4)},
    "PGD 1": at(adversarial.pgd, 1),
    "PGD 2, 20 steps": at(adversarial.pgd, 2, num_steps=20),
    "PGD 2, expects damage": at(methods.transferable_pgd, 2, num_steps=20, transform=methods.compress_or_resize),
    "PGD L2, length 0.5": at(adversarial.pgd, 0.5 * 255, norm="l2"),
    "to stingray, ascent": lambda network, images, labels: adversarial.fool(network, images, STINGRAY),
    "to stingray, PGD 2": lambda network, images, labels: adversarial.pgd(
        network, images, 2 / 255, targets=STINGRAY, num_steps=20
    ),
    "DeepFool": methods.deep_fool,
}
BOTH = ("none", *(f"noise {levels}" for levels in LEVELS), "FGSM 1", "FGSM 2", "FGSM 4", "PGD 1")
TRANSFER: dict[str, Attack] = {
    "noise": at(methods.sign_noise, 8),
    "pgd": at(adversarial.pgd, 8),
    "momentum": at(methods.transferable_pgd, 8, momentum=1.0),
    "diversity": at(methods.transferable_pgd, 8, transform=methods.resize_and_pad),
    "best": at(methods.transferable_pgd, 8, momentum=1.0, transform=methods.resize_and_pad),
}
# The noise of the size of an attack.
CONTROLS = {f"FGSM {levels}": f"noise {levels}" for levels in (1, 2, 4)} | {"PGD 1": "noise 1"}
CONTROLS |= dict.fromkeys(("PGD 2, 20 steps", "PGD 2, expects damage"), "noise 2")
NAMES = dict(zip(NETWORKS, ("SqueezeNet", "Lite0", "Lite2"), strict=True))


@functools.cache
def load_practical() -> tuple[Tensor, Tensor]:
    """Pixels and labels of the practical's 25 pictures."""
    practical = datasets.load_imagenet_val25()
    return stack_pixels(practical.images), torch.from_numpy(practical.labels)


@functools.cache
def load_subjects() -> tuple[Tensor, Tensor]:
    """Pixels and labels of the first NUM pictures that all three networks read as labelled."""
    images, labels = load_practical()
    samples = datasets.load_imagenet_samples()
    images = torch.cat([images, stack_pixels(samples.images[: 3 * NUM])])
    labels = torch.cat([labels, torch.from_numpy(samples.labels[: 3 * NUM])])
    for name in NETWORKS:
        read = float32_logits(pretrained.load(name), images).argmax(1) == labels
        images, labels = images[read], labels[read]
    return images[:NUM], labels[:NUM]


def as_bits(flags: Tensor) -> str:
    """A 0 or 1 for each picture: "0110", which takes one line of a file."""
    return "".join(str(int(flag)) for flag in flags)


def summarise(network: PixelNetwork, examples: AdversarialExamples) -> dict[str, Any]:
    """Shares of pictures that reach their goal, as made and after damage, and which do; medians of those when saved."""
    damages = {"floats": "none", "saved": "8 bits", "jpeg": "jpeg", "resized": "resize"}
    bits = {key: as_bits(survives(network, examples, damage)) for key, damage in damages.items()}
    fooled = examples.success if examples.success.any() else torch.ones_like(examples.success)
    return {
        **{key: each.count("1") / len(each) for key, each in bits.items()},
        "steps": float(examples.steps[fooled].float().median()),
        "l2": float(examples.l2[fooled].median()),
        "linf": float(examples.linf[fooled].median()) * 255,
        "bits": bits,
    }


def attack(name: str, method: str) -> dict[str, Any]:
    """One attack of the table on one network."""
    network = pretrained.load(name)
    with runtime.autocast("cpu"):
        examples = TABLE[method](network, *load_subjects())
    return summarise(network, examples)


def fool_the_25() -> dict[str, Any]:
    """The practical: its 25 pictures to the stingray, and how many a stop at the first success in floats would lose."""
    network, (images, _) = pretrained.load(NETWORKS[0]), load_practical()
    examples = adversarial.fool(network, images, STINGRAY)
    lost, early = torch.zeros(2, len(images), dtype=torch.bool)
    step = score_examples(network, images, images, examples.goal)
    while not early.all():
        step = adversarial.fool(network, step.images, STINGRAY, num_steps=1)
        fresh = survives(network, step, "none") & ~early
        lost[fresh], early = ~step.success[fresh], early | fresh
    row, steps = summarise(network, examples), examples.steps
    found = {"success": row["floats"], "survives_8bit": row["saved"]}
    found |= {"jpeg": row["jpeg"], "lost": int(lost.sum())}
    sizes = {"median": row["steps"], "least": int(steps.min()), "most": int(steps.max())}
    return found | sizes | {"l2": row["l2"], "linf": row["linf"]}


def leave_the_25(name: str) -> dict[str, float]:
    """The share of the practical's 25 pictures driven away from the classes that a network reads in them."""
    network, (images, _) = pretrained.load(name), load_practical()
    read = float32_logits(network, images).argmax(1)
    attacks = {"fgsm_success_2_255": "FGSM 2", "pgd_success_1_255": "PGD 1"}
    attacks |= {"noise_success_2_255": "noise 2"}
    with runtime.autocast("cpu"):
        made = {key: TABLE[method](network, images, read) for key, method in attacks.items()}
    return {key: float(examples.success.float().mean()) for key, examples in made.items()}


def find_smallest(name: str, kind: str) -> dict[str, Any]:
    """The smallest change of pictures as floats, epsilon in levels of 255 or a length: its median, who withstands."""
    network = pretrained.load(name)
    images, labels = (part[:NUM_SMALLEST] for part in load_subjects())
    with runtime.autocast("cpu"):
        if kind == "length":
            examples = methods.ddn(network, images, labels, num_steps=60)
            found = torch.where(survives(network, examples, "none"), examples.l2, torch.inf)
        else:
            # To a class far away, ten steps of a large epsilon are too coarse.
            finer = partial(adversarial.pgd, num_steps=20)
            far = {"targets": STINGRAY, "most": 4 / 255, "attack": finer}
            goal = far if kind == "targeted" else {"labels": labels}
            found = 255 * methods.smallest_epsilon(network, images, **goal)
    withstand = [float((found > level).float().mean()) for level in GRID]
    return {"median": float(found.median()), "withstand": withstand}


def transfer(name: str, method: str) -> dict[str, str]:
    """Which pictures, made at 8 levels on one network, each of the others misreads when they are saved."""
    images, labels = load_subjects()
    with runtime.autocast("cpu"):
        examples = TRANSFER[method](pretrained.load(name), images, labels)
    others = (other for other in NETWORKS if other != name)
    return {other: as_bits(survives(pretrained.load(other), examples, "8 bits")) for other in others}


def perturb_all() -> dict[str, Any]:
    """One perturbation for all pictures, and random signs, on pictures that they were not made on."""
    network = pretrained.load(NETWORKS[0])
    images = stack_pixels(datasets.load_imagenet_samples().images)
    read = float32_logits(network, images).argmax(1)
    with runtime.autocast("cpu"):
        made_on, jitter = images[:NUM_MADE_ON], class_visualization.Jitter(28)
        common = methods.universal_perturbation(network, made_on, UNIVERSAL, num_passes=8, transform=jitter)
    unseen, labels = images[NUM_MADE_ON:], read[NUM_MADE_ON:]
    grey = torch.full_like(images[:1], 0.5)
    signs = UNIVERSAL * (methods.sign_noise(network, grey, 0.5).images - grey).sign()[0]
    goal = adversarial.Goal(labels, targeted=False)
    moved = {"universal": (unseen + common).clamp(0, 1), "noise": (unseen + signs).clamp(0, 1)}
    return {key: summarise(network, score_examples(network, unseen, each, goal)) for key, each in moved.items()}


def change_one_pixel(number: int) -> dict[str, Any]:
    """The one-pixel attack on a picture of `load_imagenet20`: which pixel, and its colour."""
    pictures, network = datasets.load_imagenet20(), pretrained.load(NETWORKS[0])
    image = stack_pixels(pictures.images[number : number + 1])
    with runtime.autocast("cpu"):
        examples = methods.one_pixel(network, image, num_steps=15, population=400)
    row, column = (examples.images != image)[0].any(0).nonzero()[0].tolist()
    colour = from_pixels(examples.images)[0, row, column].tolist()
    place = {"number": number, "row": row, "column": column}
    return place | {"colour": colour, "saved": bool(examples.success)}


def make_visualizing_attacks() -> Path:
    """Every attack on one scale; about 20 minutes on one core."""
    squeezenet, lite0 = NETWORKS[:2]
    calls: Calls = {("practical", "stingray"): cached(fool_the_25)}
    calls |= {("practical", name): cached(leave_the_25, name) for name in NETWORKS}
    calls["universal",] = cached(perturb_all)
    for name, attacks in ((squeezenet, TABLE), (lite0, BOTH)):
        calls |= {("table", name, method): cached(attack, name, method) for method in attacks}
        calls |= {("transfer", name, method): cached(transfer, name, method) for method in TRANSFER}
        calls["smallest", name, "untargeted"] = cached(find_smallest, name, "untargeted")
    for kind in ("targeted", "length"):
        calls["smallest", squeezenet, kind] = cached(find_smallest, squeezenet, kind)
    calls |= {("one_pixel", str(number)): cached(change_one_pixel, number) for number in ONE_PIXEL}
    found = dict(sweep(calls, "attacks"))
    return results.save("visualizing-attacks", show(nest({place: found[place] for place in calls})), [0])


def show(parts: dict[str, Any]) -> dict[str, Any]:
    """What the chapter reads of the measurements: tables, curves, and the numbers of its prose."""
    for rows in parts["table"].values():
        complete_table(rows)
    stingray, squeezenet, lite0, lite2 = parts["practical"].values()
    # The largest change that each colour of each pixel would have, were the length spread evenly.
    stingray["even"] = 255 * stingray["l2"] / math.sqrt(3 * 224 * 224)
    return {
        "grid": GRID,
        "table": parts["table"],
        "curves": draw_curves(parts["table"], parts["smallest"]),
        "transfer": tabulate_transfer(parts["transfer"]),
        "one_pixel": parts["one_pixel"],
        "sizes": {"num": NUM, "num_smallest": NUM_SMALLEST},
        "recorded": list_numbers(parts),
        "recorded_25": {"fool": stingray, **squeezenet, "lite": lite0, "lite2": lite2},
    }


def exceed(first: Row, second: Row, damage: str = "saved") -> dict[str, float]:
    """By how much the first share of pictures is above the second, paired, with its 95 % interval."""
    found = mcnemar(as_flags(first["bits"][damage]), as_flags(second["bits"][damage]))
    return {"difference": found.difference, "low": found.low, "high": found.high}


def as_flags(bits: str) -> np.ndarray:
    """bool (N,) of "0110"."""
    return np.array([*bits]) == "1"


def complete_table(rows: Mapping[str, Row]) -> None:
    """Give each attack that has a control its gain over it, in words."""
    for label in CONTROLS.keys() & rows.keys():
        gain = exceed(rows[label], rows[CONTROLS[label]])
        low, high = (min(gain[end], 1) for end in ("low", "high"))
        rows[label]["beyond noise"] = f"{gain['difference']:+.0%} ({low:.0%} to {high:.0%})"


def draw_curves(table: Mapping[str, Mapping[str, Row]], smallest: Mapping[str, Row]) -> dict[str, list[float]]:
    """Share of pictures that withstand, by name: PGD at each epsilon of the grid, noise at the last five."""
    curves = {}
    for network in smallest:
        name = NAMES[network]
        curves[f"{name}, PGD"] = smallest[network]["untargeted"]["withstand"]
        shares = (table[network][f"noise {level}"]["saved"] for level in (1, 2, 4, 8, 16))
        curves[f"{name}, noise"] = [1 - share for share in shares]
    return curves | {"SqueezeNet, to a stingray": smallest["squeezenet1_1"]["targeted"]["withstand"]}


def compare_transfer(made: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Share of pictures that each attack on one network has others misread; the paired interval of best less PGD."""
    shares = {method: np.mean([as_flags(bits) for bits in others.values()], axis=0) for method, others in made.items()}
    gain = compare(shares["best"], shares["pgd"], paired=True)
    means = {method: float(share.mean()) for method, share in shares.items()}
    return means | {"low": gain.low, "high": gain.high}


def tabulate_transfer(made: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, float]]:
    """The same share by direction, "one to other"."""
    shares: dict[Place, float] = {}
    for source, attacks in made.items():
        for method, others in attacks.items():
            for other, bits in others.items():
                shares[f"{NAMES[source]} to {NAMES[other]}", method] = float(as_flags(bits).mean())
    return nest(shares)


def list_numbers(parts: Mapping[str, Any]) -> dict[str, Any]:
    """What the chapter's prose says of it."""
    rows = parts["table"]["squeezenet1_1"]
    smallest, universal = parts["smallest"], parts["universal"]
    hardened, plain = rows["PGD 2, expects damage"], rows["PGD 2, 20 steps"]
    damaged = {"clean": rows["none"], "pgd2": plain}
    medians = {kind: found["median"] for kind, found in smallest["squeezenet1_1"].items()}
    return {
        "transfer": compare_transfer(parts["transfer"]["squeezenet1_1"]),
        "hardening": {damage: exceed(hardened, plain, damage) for damage in ("jpeg", "resized")},
        "uap": {name: row["saved"] for name, row in universal.items()} | exceed(*universal.values()),
        "smallest": medians | {"lite": smallest["efficientnet_lite0"]["untargeted"]["median"]},
        "deepfool": {key: rows["DeepFool"][key] for key in ("floats", "saved")},
        "fgsm2": {"jpeg": rows["FGSM 2"]["jpeg"]},
        **{name: {key: row[key] for key in ("jpeg", "resized")} for name, row in damaged.items()},
    }
