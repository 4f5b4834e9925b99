"""SmoothGrad and its kin: a saliency method averaged over noisy copies of a picture."""

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.class_scores import Classes, Images, Noisy, check_input, choose_classes, chunk_size
from dlapps.core.runtime import make_generator
from dlapps.saliency.maps import gradient, reduce_channels

Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]


def smooth_grad(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    noise_std: float = 0.15,
    num_samples: int = 50,
    seed: int = 0,
    explain: Explain = gradient,
    statistic: str = "mean",
    reduce: str | None = "max",
) -> Tensor:
    """max over channels of |mean of d S_c / d x at x + N(0, noise_std^2)| (Smilkov et al. 2017).

    noise_std: in pixel units, .1 to .2 in the paper. Gradients are averaged with their signs, as there (captum's
    NoiseTunnel around Saliency averages absolute values). Each picture sees the same draws of noise, so its map depends
    neither on the batch around it nor on the chunks. Returns (N, H, W) >= 0.

    explain: another method, (network, images, targets) -> maps, taken at x + noise: `guided_backprop`, say, whose maps
    are reduced already, or with `partial(guided_backprop, reduce=None)` its signs. statistic: the "mean" of the maps,
    of their "square" (SmoothGrad-squared, Hooker et al. 2019), or their "variance" (VarGrad, Adebayo et al. 2018).
    """
    images = check_input(network, images)
    check_counts(num_samples=num_samples)
    if not 0 <= noise_std < float("inf") or statistic not in STATISTICS:
        raise ValueError(
            f"expected a finite noise_std >= 0 and a statistic among {', '.join(STATISTICS)}, got {noise_std} and "
            f"{statistic!r}; change them."
        )
    # Drawn on the CPU, one by one: the same noise whatever the device and the chunks.
    generator, noise = make_generator(seed), images.new_empty(num_samples, *images.shape[1:])
    for draw in noise:
        draw.copy_(torch.randn(draw.shape, generator=generator, device="cpu"))
    maps = []
    for image, target in zip(images, choose_classes(network, images, targets), strict=True):
        parts = (
            explain(Noisy(network), image + noise_std * draws, target.expand(len(draws))).detach()
            for draws in noise.split(chunk_size(images))
        )
        maps.append(STATISTICS[statistic](parts, num_samples))
    smooth = torch.stack(maps)
    return reduce_channels(smooth, reduce) if smooth.ndim == 4 else smooth


STATISTICS: dict[str, Callable[[Iterator[Tensor], int], Tensor]] = {
    "mean": lambda parts, number: functools.reduce(torch.add, ((part * (1 / number)).sum(0) for part in parts)),
    "square": lambda parts, number: torch.cat([*parts]).square().mean(0),
    "variance": lambda parts, number: torch.cat([*parts]).var(0, correction=0),
}
