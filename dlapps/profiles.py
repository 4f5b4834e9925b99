"""How much a run costs: smoke (seconds, for tests), quick (the default, minutes), full (the paper's settings)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Settings shared by all chapters; a chapter's own come as fields named after it."""

    name: str
    seeds: tuple[int, ...]


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", seeds=(0,)),
        Profile("quick", seeds=(0,)),
        Profile("full", seeds=(0, 1, 2)),
    )
}


def get_profile(name: str) -> Profile:
    """The profile of that name; a ValueError that lists the valid ones otherwise."""
    if name not in PROFILES:
        raise ValueError(f"expected a profile among {', '.join(PROFILES)}, got {name!r}; choose one of them.")
    return PROFILES[name]
