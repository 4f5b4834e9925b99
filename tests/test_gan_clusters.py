"""Clusters stand in for labels: they part what differs, z draws them as often as images fall into them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dlapps import gan

torch.set_num_threads(1)

TINY = replace(gan.PRACTICAL, generator_channels=4, discriminator_channels=4, size=16, latent_dim=5, batch_size=8)
TINY = replace(TINY, num_epochs=2, clusters=6)


@pytest.fixture(scope="module")
def places():
    """0 to 5: three heights, left or right, a sixth of them left."""
    return 2 * (torch.arange(60) % 3) + (torch.arange(60) >= 10)


@pytest.fixture(scope="module")
def images(places):
    """Squares of several greys at these places."""
    grey = torch.randint(200, 256, (60,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pictures = torch.zeros(60, 16, 16, dtype=torch.uint8)
    for picture, place, level in zip(pictures, places, grey, strict=True):
        top, left = 1 + 5 * (place // 2), 1 + 9 * (place % 2)
        picture[top : top + 4, left : left + 4] = level
    return pictures


def test_clusters_are_the_places(images, places):
    clusters = gan.find_clusters(images, 6)
    assert clusters.dtype == torch.int64
    # Two images share a cluster exactly where they share a place.
    assert torch.equal(clusters[:, None] == clusters, places[:, None] == places)
    assert torch.equal(gan.find_clusters(images, 4, seed=3), gan.find_clusters(images, 4, seed=3))
    with pytest.raises(ValueError, match="at least 61 images, one a cluster, got 60"):
        gan.find_clusters(images, 61)


class Echo(nn.Module):
    """In place of a generator: an image is its label."""

    latent_dim, size, num_classes = 5, 16, 6

    def forward(self, z, labels):
        assert z.shape == (len(labels), 5)
        return labels.float()


def test_the_last_number_of_z_draws_a_cluster_as_often_as_images_fall_into_it(places):
    generator = gan.ClusteredGenerator(Echo(), places)
    drawn = generator(gan.draw_latents(6000, 6, seed=0)).long()
    expected = torch.bincount(places, minlength=6) / 60
    torch.testing.assert_close(torch.bincount(drawn, minlength=6) / 6000, expected, atol=0.01, rtol=0)
    # An extreme z draws the last one, not one beyond it.
    assert generator(torch.full((1, 6), 99.0)).item() == 5
    with pytest.raises(ValueError, match=r"latent vectors \(N, 6\)"):
        generator(torch.zeros(2, 5))


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_generator_on_clusters_is_kept_with_their_shares(images, average, tmp_path):
    preset = replace(TINY, average=average)
    whole = gan.fit_gan(images, preset)
    assert whole.frames.shape[1:] == (64, 16, 16)
    z = gan.draw_latents(9, whole.generator.latent_dim, seed=1)
    kept = gan.load_generator(gan.save_generator(tmp_path / "generator.pt", whole.generator, preset))
    torch.testing.assert_close(gan.sample(kept, z), gan.sample(whole.generator, z), atol=2e-2, rtol=0)
    torch.testing.assert_close(kept.shares, whole.generator.shares, atol=1e-3, rtol=0)
    assert kept.shares.amin() < kept.shares.amax()
