"""Whether a saliency map tells the truth: deletion and insertion of pixels, small noise, and randomised weights.

A map that looks convincing may only show edges. `random_map` and `centre_prior` know nothing about the network: print
their areas beside those of every method.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from dlapps import check_counts
from dlapps.core.class_scores import Classes, Images, check_input, choose_classes, float32, forward, pick
from dlapps.core.images import check_unit
from dlapps.core.runtime import make_generator
from dlapps.pretrained import find_layer
from dlapps.saliency.smoothing import Explain


@dataclass(frozen=True)
class DeletionInsertion:
    """Probability of the target (N, S + 1) while a share of the pixels (S + 1,) from 0 to 1 is deleted or inserted."""

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def agreement(self) -> Tensor:
        """Insertion less deletion area, divided by the probability of the whole picture (N,): higher is better.

        Without the division it measures how sure a network is. A random map has a score too: subtract it.
        """
        return (self.insertion_area - self.deletion_area) / self.deletion[:, 0]

    @property
    def deletion_area(self) -> Tensor:
        """Area under each deletion curve (N,), in [0, 1]: lower is better."""
        return torch.trapezoid(self.deletion, self.shares)

    @property
    def insertion_area(self) -> Tensor:
        """Area under each insertion curve (N,), in [0, 1]: higher is better."""
        return torch.trapezoid(self.insertion, self.shares)


def deletion_insertion(
    network: nn.Module,
    images: Images,
    maps: Tensor | np.ndarray,
    targets: Classes | None = None,
    num_steps: int = 28,
    deleted: float = 0.5,
    blur_sigma: float = 5.0,
) -> DeletionInsertion:
    """Take the pixels away, or put them in, from the highest of a map to the lowest (Petsiuk, Das & Saenko 2018).

    images: (N, C, H, W) in [0, 1]. maps: (N, H, W), any range; equal values keep the order of the rows. targets: the
    predicted classes by default. Deleted pixels become the grey `deleted` (the paper's is the mean of ImageNet, .4 to
    .49); insertion starts from the picture blurred by a Gaussian of blur_sigma pixels, cut off at one sigma. Runs in
    the precision that the caller opened. Raises ValueError for bad images, classes, or maps of another shape.
    """
    check_counts(num_steps=num_steps)
    if np.ndim(deleted):
        raise ValueError(
            f"expected deleted as one grey, got shape {tuple(np.shape(deleted))}; take a number in [0, 1]."
        )
    check_unit(torch.as_tensor(deleted, device="cpu"))
    images = check_input(network, images)
    if not 0 < blur_sigma <= min(images.shape[2:]) - 1:
        raise ValueError(
            f"expected blur_sigma > 0, in pixels, less than the sides {tuple(images.shape[2:])}, got {blur_sigma}; "
            "change it."
        )
    ranks = rank_pixels(images, maps)[:, None]
    classes = choose_classes(network, images, targets)
    with float32(images):
        blurred = gaussian_blur(images, 2 * round(blur_sigma) + 1, blur_sigma)
    shares = torch.linspace(0, 1, num_steps + 1, device="cpu")

    def curve(chosen_become: Tensor | float, others_are: Tensor) -> Tensor:
        masks = (ranks < round(float(share) * ranks[0].numel()) for share in shares)
        seen = (torch.where(mask, chosen_become, others_are) for mask in masks)
        probabilities = [forward(network, pictures).softmax(1) for pictures in seen]
        return torch.stack([pick(step, classes) for step in probabilities], 1)

    return DeletionInsertion(shares.to(images.device), curve(deleted, images), curve(images, blurred))


def rank_pixels(images: Tensor, maps: Tensor | np.ndarray) -> Tensor:
    """Places (N, H, W) of pixels in the order of a map, 0 for the highest; ValueError for other shapes or NaN."""
    maps = torch.as_tensor(maps, device=images.device)
    expected = (len(images), *images.shape[2:])
    if maps.shape != expected:
        raise ValueError(f"expected maps of shape {expected}, got {tuple(maps.shape)}; pass one map an image.")
    if maps.isnan().any():
        raise ValueError("expected maps of numbers, got NaN, which has no rank; look for what made it.")
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).view(expected)


def random_map(images: Tensor, seed: int = 0) -> Tensor:
    """A map (N, H, W) of uniform noise in [0, 1): what a method must beat to say anything."""
    generator = make_generator(seed)
    noise = torch.rand(len(images), *images.shape[2:], generator=generator, device="cpu")
    return noise.to(images.device)


def centre_prior(images: Tensor, spread: float = 0.25) -> Tensor:
    """A Gaussian in the middle, spread times the side of the picture wide: where photographers put their subject.

    Returns (N, H, W) in (0, 1], the same map for every picture.
    """
    places = (torch.linspace(-0.5, 0.5, side, device=images.device) for side in images.shape[2:])
    rows, columns = (torch.exp(-place.div(spread).square() / 2) for place in places)
    return torch.outer(rows, columns).expand(len(images), -1, -1)


def randomise_weights(network: nn.Module, layers: Sequence[str] | None = None, seed: int = 0) -> nn.Module:
    """A copy of the network in which the weights of some layers (default: all) are drawn anew.

    Each weight of two dimensions or more becomes normal noise of the mean and deviation it had; biases and batch norm
    stay, so that activations keep their scale. Raises ValueError for a layer that is none, or has no such weight.
    """
    network = copy.deepcopy(network)
    generator = make_generator(seed)
    with torch.no_grad():
        for name in _weighted_layers(network) if layers is None else layers:
            layer = find_layer(network, name) if name else network
            if not (weights := _own_weights(layer)):
                raise ValueError(
                    f"expected a layer with a weight, got {name}, a {type(layer).__name__}; choose others."
                )
            for weight in weights:
                mean, deviation = float(weight.mean()), float(weight.std())
                noise = torch.empty_like(weight, device="cpu")
                weight.copy_(noise.normal_(mean, deviation, generator=generator))
    return network


def max_sensitivity(
    network: nn.Module,
    images: Images,
    explain: Explain,
    targets: Classes | None = None,
    radius: float = 0.02,
    num_samples: int = 10,
    seed: int = 0,
) -> Tensor:
    """max over y within radius of x of ||map(y) - map(x)|| / ||map(x)|| (Yeh et al. 2019, normalised).

    explain: as in `sanity_check`. y: num_samples pictures whose pixels differ from x by uniform noise in
    [-radius, radius], clamped to [0, 1]; the class stays. Returns (N,) >= 0: lower is better, and 0 for a map that does
    not look at the picture, so that it says nothing alone.
    """
    check_counts(num_samples=num_samples)
    images, generator = check_input(network, images), make_generator(seed)
    classes = choose_classes(network, images, targets)
    maps = explain(network, images, classes).flatten(1)
    worst = torch.zeros(len(images), device=images.device)
    for _ in range(num_samples):
        noise = radius * (2 * torch.rand(images.shape, generator=generator, device="cpu") - 1).to(images.device)
        moved = explain(network, (images + noise).clamp(0, 1), classes).flatten(1)
        worst = torch.maximum(worst, (moved - maps).norm(dim=1) / maps.norm(dim=1).clamp(min=1e-12))
    return worst


def sanity_check(
    network: nn.Module,
    images: Images,
    explain: Explain,
    targets: Classes | None = None,
    num_stages: int = 5,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Spearman's rank correlation of maps before and after weights are randomised from the top (Adebayo et al. 2018).

    explain: (network, images, targets) -> maps (N, H, W), such as `input_gradient`; of `grad_cam`, which takes a layer
    too, `lambda network, images, targets: grad_cam(network, images, "features.29", targets)`. The last 1/S, 2/S ...
    S/S of the layers are randomised in turn. Returns {deepest layer randomised: correlations (N,)}; a method that
    depends on what was learned falls towards 0. A constant map correlates with nothing: 0.
    """
    images = check_input(network, images)
    classes = choose_classes(network, images, targets)
    before, layers = explain(network, images, classes), _weighted_layers(network)[::-1]
    correlations = {}
    for stage in range(1, num_stages + 1):
        randomised = layers[: math.ceil(len(layers) * stage / num_stages)]
        after = explain(randomise_weights(network, randomised, seed), images, classes)
        correlations[randomised[-1]] = rank_correlations(before, after)
    return correlations


def _weighted_layers(network: nn.Module) -> list[str]:
    """Names of the layers with a weight of two dimensions or more, from the input to the output."""
    return [name for name, module in network.named_modules() if _own_weights(module)]


def _own_weights(layer: nn.Module) -> list[Tensor]:
    """Those of two dimensions or more that no layer inside it has, whatever their names."""
    return [weight for weight in layer.parameters(recurse=False) if weight.ndim > 1]


def rank_correlations(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation (N,) in [-1, 1] of each map (N, H, W) with its counterpart; 0 for a constant map."""
    pairs = zip(first.cpu(), second.cpu(), strict=True)
    correlations = [_rank_correlation(*pair) for pair in pairs]
    return torch.tensor(correlations, device=first.device)


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    first, second = first.flatten(), second.flatten()
    if first.min() == first.max() or second.min() == second.max():
        return 0.0
    return float(spearmanr(first.numpy(), second.numpy()).statistic)
