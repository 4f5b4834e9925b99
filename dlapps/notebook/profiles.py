"""How much a run costs: smoke (tiny data, for tests), quick (the default), full (the published report)."""

from dataclasses import dataclass

from dlapps import check_name


@dataclass(frozen=True)
class Profile:
    """Settings shared by all chapters; a chapter's own come as fields named after it."""

    name: str
    # What all chapters take, one after the other, said before the first run.
    minutes: float
    seeds: tuple[int, ...]
    # Chapter 1: cross-validation of linear SVMs, random splits, and epochs of a new last layer on fixed features.
    num_folds: int
    num_splits: int
    svm_costs: tuple[float, ...]
    head_epochs: int
    # Chapter 2: pictures, samples of SmoothGrad, steps of deletion; side and steps of pictures of classes.
    num_pictures: int
    num_samples: int
    curve_steps: int
    picture_size: int
    ascent_steps: int
    # Chapters 2 to 4: training digits of the runs that the notebooks make themselves; epochs in Chapters 3 and 4.
    num_digits: int
    adaptation_epochs: int
    gan_epochs: int
    cdcgan_epochs: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke", minutes=3, seeds=(0,),
            num_folds=2, num_splits=2, svm_costs=(1,), head_epochs=2,
            num_pictures=3, num_samples=2, curve_steps=4, picture_size=64, ascent_steps=4,
            num_digits=300, adaptation_epochs=1, gan_epochs=1, cdcgan_epochs=1,
        ),
        Profile(
            "quick", minutes=6, seeds=(0,),
            num_folds=3, num_splits=2, svm_costs=(1, 10), head_epochs=30,
            num_pictures=20, num_samples=10, curve_steps=5, picture_size=224, ascent_steps=100,
            num_digits=4_000, adaptation_epochs=4, gan_epochs=3, cdcgan_epochs=3,
        ),
        Profile(
            "full", minutes=12, seeds=(0, 1, 2),
            num_folds=5, num_splits=10, svm_costs=(0.1, 0.3, 1, 3, 10, 30, 100), head_epochs=30,
            num_pictures=20, num_samples=50, curve_steps=28, picture_size=224, ascent_steps=200,
            num_digits=10_000, adaptation_epochs=7, gan_epochs=2, cdcgan_epochs=8,
        ),
    )
}  # fmt: skip


def get_profile(name: str) -> Profile:
    """The profile of that name; a ValueError that lists the valid ones otherwise."""
    check_name("a profile", name, PROFILES)
    return PROFILES[name]
