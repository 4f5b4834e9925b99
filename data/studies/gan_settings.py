"""Chapter 4's settings, and what they add to the library's: other norms of D, PyTorch's
initialisation, clusters.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dlapps import gan
from dlapps.core.runtime import channels_last, drawn_from, make_generator
from dlapps.gan.fast import discriminator_of, generator_of
from dlapps.gan.networks import initialise


@dataclass(frozen=True)
class Trial(gan.Settings):
    """A settings with what only a study compares.

    norm: what holds the activations of D's blocks in range, "batch", "batch but first",
    which leaves the first block of an unconditional one without (as Radford et al.
    2016), or "spectral". initialised: by N(0, .02), else as PyTorch does. clusters: how
    many clusters of images both networks of an unconditional GAN are trained with in
    place of labels, 0 for none.
    """

    norm: str = "batch"
    initialised: bool = True
    clusters: int = 0


class ClusteredGenerator(nn.Module):
    """z to images: a conditional generator of clusters, where z chooses the cluster too
    (as Sage et al. 2018).

    z has one number more than the conditional generator's. As it follows N(0, 1), its
    distribution function is uniform, and picks each cluster as often as images fall
    into it. clusters: int64 (N,), those of the training images.
    """

    def __init__(self, generator: Any, clusters: Tensor) -> None:
        super().__init__()
        self.generator, self.latent_dim = generator, generator.latent_dim + 1
        counts = torch.bincount(clusters, minlength=generator.num_classes).float()
        self.shares = counts / counts.sum()

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, S, S) in [-1, 1] of z (N, latent_dim), whose last number
        chooses the cluster.
        """
        # The last limit is 1 but for rounding; no choice may pass it.
        choice = torch.bucketize(
            torch.special.ndtr(z[:, -1]), self.shares.cumsum(0)[:-1]
        )
        return self.generator(z[:, :-1], choice)


def make_networks(trial: Trial, seed: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a trial with random weights, as
    `gan.make_networks` makes those of a settings.
    """
    with drawn_from(seed):
        generator, discriminator = generator_of(trial), discriminator_of(trial)
        change_norm(discriminator, trial.norm)
    source = make_generator(seed)
    for network in (generator, discriminator) if trial.initialised else ():
        initialise(network, source)
    return channels_last(generator), channels_last(discriminator)


def find_clusters(images: Tensor, number: int, seed: int) -> Tensor:
    """The cluster, from 0 to number - 1, of each image uint8 (N, S, S): int64 (N,), by
    k-means on the pixels' first 50 principal components.
    """
    pixels = images.flatten(1).numpy() / 255.0
    components = PCA(
        min(50, *pixels.shape), svd_solver="covariance_eigh"
    ).fit_transform(pixels)
    return torch.from_numpy(
        KMeans(number, n_init=1, random_state=seed).fit_predict(components)
    ).long()


def change_norm(discriminator: nn.Module, norm: str) -> None:
    """Another norm, by its name in `Trial`, in place of a discriminator's batch norms."""
    parts = [
        part for part in discriminator.modules() if isinstance(part, nn.Sequential)
    ]
    blocks = [part for part in parts if nn.BatchNorm2d in map(type, part)]
    if norm == "batch but first":
        blocks = blocks[:1] if isinstance(discriminator, gan.Discriminator) else []
    for block in blocks if norm != "batch" else ():
        block[1] = nn.Identity()
    if norm == "spectral":
        # Weights divided by their largest singular value (Miyato et al. 2018, eq. 8).
        for module in [*discriminator.modules()]:
            if isinstance(module, nn.Conv2d):
                spectral_norm(module)


def fit_trial(
    images: Tensor,
    trial: Trial,
    seed: int = 0,
    *,
    labels: Tensor | None = None,
    **options: Any,
) -> gan.Training:
    """`gan.fit_gan` of a trial; with clusters, of them in place of labels, and the
    generator draws them as well.
    """
    if not trial.clusters:
        return gan.fit_gan(
            images,
            trial,
            seed,
            labels=labels,
            networks=make_networks(trial, seed),
            **options,
        )
    images = gan.prepare_images(images, trial.size)
    clusters, settings = (
        find_clusters(images, trial.clusters, seed),
        replace(trial, num_classes=trial.clusters),
    )
    networks = make_networks(settings, seed)
    training = gan.fit_gan(
        images, settings, seed, labels=clusters, networks=networks, **options
    )
    generator: Any = ClusteredGenerator(training.generator, clusters)
    last = gan.to_uint8(
        gan.sample(generator, gan.draw_latents(64, generator.latent_dim, seed))
    )
    return replace(training, settings=trial, generator=generator, frames=last[None])


PRACTICAL = Trial()
CONDITIONAL = Trial(generator_channels=128, discriminator_channels=128, num_classes=10)
# Chosen on digits held out, by scores of a judge that had seen black grounds alone;
# data/README.md says where that is.
TUNED: dict[str, Any] = {
    "generator_channels": 64,
    "discriminator_channels": 64,
    "discriminator_rate": 1e-3,
}
TUNED |= {"average": 0.999, "anneal": True}
# Each with its number of seeds. The central ones have ten; one thing changed in the
# practical's settings has three.
SETTINGS: dict[str, tuple[Trial, int]] = {
    "practical": (PRACTICAL, 10),
    "saturating loss": (replace(PRACTICAL, loss="saturating"), 10),
    "tuned": (replace(PRACTICAL, latent_dim=30, norm="batch but first", **TUNED), 10),
    "ten clusters": (replace(PRACTICAL, clusters=10, **TUNED), 10),
    # The networks of the line above, without clusters to tell apart.
    "one cluster": (replace(PRACTICAL, clusters=1, **TUNED), 5),
    "small generator": (replace(PRACTICAL, generator_channels=8), 3),
    "small discriminator": (replace(PRACTICAL, discriminator_channels=8), 3),
    "default initialisation": (replace(PRACTICAL, initialised=False), 3),
    "fast discriminator": (replace(PRACTICAL, discriminator_rate=1e-3), 3),
    "latent 10": (replace(PRACTICAL, latent_dim=10), 3),
    "30 epochs": (replace(PRACTICAL, num_epochs=30), 3),
    "64 x 64": (replace(PRACTICAL, size=64), 3),
    "64 x 64, steady": (
        replace(PRACTICAL, size=64, norm="spectral", average=0.999, anneal=True),
        5,
    ),
}
CONDITIONAL_SETTINGS: dict[str, tuple[Trial, int]] = {
    "tuned": (replace(CONDITIONAL, **TUNED), 10),
    "practical": (CONDITIONAL, 5),
    "D(x) without y": (replace(CONDITIONAL, discriminator_sees_labels=False), 3),
}
