"""Clusters of images in place of labels: what a GAN can be told where nobody has labelled anything.

Images fall into clusters of look-alikes by k-means; a conditional GAN is trained with the cluster as the label (as Sage
et al. 2018 do for logos), and its generator draws the cluster at random.
"""

import torch
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn

from dlapps.core.images import as_uint8
from dlapps.gan.networks import ConditionalGenerator, check_latents

NUM_COMPONENTS = 50


def find_clusters(images: ArrayLike, number: int, seed: int = 0) -> Tensor:
    """The cluster, from 0 to number - 1, of each image uint8 (N, H, W) or (N, H, W, 3): int64 (N,).

    k-means on the pixels' first 50 principal components. Raises ValueError for fewer images than clusters.
    """
    images = as_uint8(images)
    if len(images) < number:
        raise ValueError(
            f"expected at least {number} images, one a cluster, got {len(images)}; ask for fewer clusters, or give "
            "more images."
        )
    pixels = images.flatten(1).numpy() / 255.0
    components = PCA(min(NUM_COMPONENTS, *pixels.shape), svd_solver="covariance_eigh").fit_transform(pixels)
    return torch.from_numpy(KMeans(number, n_init=1, random_state=seed).fit_predict(components)).long()


class ClusteredGenerator(nn.Module):
    """z to images: a conditional generator of clusters, where z chooses the cluster too.

    z has one number more than the conditional generator's. As it follows N(0, 1), its distribution function is uniform,
    and picks each cluster as often as images fall into it. clusters: int64 (N,), those of the training images; None
    leaves all equally frequent, until weights are loaded.
    """

    shares: Tensor

    def __init__(self, generator: ConditionalGenerator, clusters: Tensor | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.latent_dim = generator.latent_dim + 1
        every = torch.arange(generator.num_classes) if clusters is None else clusters
        counts = torch.bincount(every, minlength=generator.num_classes).float()
        self.register_buffer("shares", counts / counts.sum())

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, S, S) in [-1, 1] of z (N, latent_dim), whose last number chooses the cluster."""
        check_latents(z, self.latent_dim)
        # The last limit is 1 but for rounding; no choice may pass it.
        choice = torch.bucketize(torch.special.ndtr(z[:, -1]), self.shares.float().cumsum(0)[:-1])
        return self.generator(z[:, :-1], choice)
