"""Adversarial examples: pictures changed a little so that a network errs.

Every attack takes a network, which is any nn.Module in eval mode that takes pixels and
gives logits.

images: (N, C, H, W) with any number of channels, float32 in [0, 1], or whatever else
    `images.as_pictures` takes.
targets: the classes towards which `fool` and `pgd` drive the pictures.
labels: the classes away from which they are driven if there are no targets; by default
    the predicted classes. A class is a number, or the name of one of the network's
    `class_names`.
epsilon, step_size: in pixel units (2 / 255, say), in the norm of the attack over the
    whole picture.

The picture is clipped to [0, 1] at each step, and to epsilon if there is one. Gradients
run in the precision that the caller opened (`runtime.autocast`), but success is decided
at the end in float32: the picture reaches the goal within epsilon, and still does when
rounded to 8 bits, as a PNG stores it.

Everything stays on the images' device. Random starts are drawn on the CPU, so that they
are the same on every device. Bad pixels, classes out of range, a network in training
mode or without logits (N, K), an epsilon that is not finite and an unknown norm raise a
ValueError of one sentence.
"""

from dlapps.adversarial.attacks import fgsm, fool, pgd
from dlapps.adversarial.digits import load_digit_networks
from dlapps.adversarial.examples import AdversarialExamples, Goal, score_examples
from dlapps.core.images import round_to_8_bits

__all__ = [
    "AdversarialExamples",
    "Goal",
    "fgsm",
    "fool",
    "load_digit_networks",
    "pgd",
    "round_to_8_bits",
    "score_examples",
]
