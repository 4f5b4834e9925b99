"""How much a run costs: smoke (seconds, for tests), quick (the default, minutes), full (the paper's settings)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Settings shared by all chapters; a chapter's own come as fields named after it."""

    name: str
    seeds: tuple[int, ...]
    # Chapter 1: cross-validation of linear SVMs, and epochs of a new last layer on fixed features.
    num_folds: int
    svm_costs: tuple[float, ...]
    head_epochs: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", seeds=(0,), num_folds=2, svm_costs=(1,), head_epochs=2),
        Profile("quick", seeds=(0,), num_folds=5, svm_costs=(0.3, 1, 3), head_epochs=30),
        Profile("full", seeds=(0, 1, 2), num_folds=5, svm_costs=(0.1, 0.3, 1, 3, 10), head_epochs=30),
    )
}


def get_profile(name: str) -> Profile:
    """The profile of that name; a ValueError that lists the valid ones otherwise."""
    if name not in PROFILES:
        raise ValueError(f"expected a profile among {', '.join(PROFILES)}, got {name!r}; choose one of them.")
    return PROFILES[name]
