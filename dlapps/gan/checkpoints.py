"""Trainings and generators on disk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import DlappsError, paths
from dlapps.gan.presets import Preset, generator_of, sampler_of
from dlapps.gan.sampling import Sampler
from dlapps.runtime import channels_last
from dlapps.training import fingerprint
from dlapps.weights import to_float16, write_checked

Identity = dict[str, Any]


class GanError(DlappsError, ValueError):
    """A training that cannot go on, or a file that is not of this training."""


def identify(preset: Preset, seed: int, precision: str, images: Tensor, labels: Tensor | None) -> Identity:
    """What a checkpoint has to agree with to be taken up: plain values by name."""
    data = fingerprint(images) if labels is None else fingerprint(images, labels)
    return {**asdict(preset), "seed": seed, "precision": precision, "data": data}


def save_checkpoint(path: str | Path, identity: Identity, state: dict[str, Any]) -> None:
    """Write a training's state beside its identity, verified before it replaces what was there."""
    write_checked(Path(path), {"identity": identity, "state": state})


def load_checkpoint(path: str | Path, identity: Identity) -> dict[str, Any] | None:
    """The state in a checkpoint, or None where there is no such file.

    Raises GanError for a file of another training or none at all, which is left as it is.
    """
    if not Path(path).exists():
        return None
    saved = _read(path, "identity")
    differing = [
        f"{name} {value!r} instead of {identity.get(name)!r}"
        for name, value in saved["identity"].items()
        if value != identity.get(name)
    ]
    if differing:
        raise GanError(
            f"expected a checkpoint of this training in {path}, got one with {', '.join(differing)}; name another "
            "file, or delete this one."
        )
    return saved["state"]


def save_generator(path: Path, generator: Sampler, preset: Preset) -> Path:
    """The weights in float16 beside the preset that they belong to."""
    return write_checked(path, {"preset": asdict(preset), "generator": to_float16(generator)})


def load_generator(path: Path) -> Sampler:
    """A generator of `save_generator`, in eval mode, without gradients."""
    saved = _read(path, "preset")
    preset = Preset(**saved["preset"])
    generator = channels_last(sampler_of(preset, generator_of(preset)))
    generator.load_state_dict(saved["generator"])
    return generator.eval().requires_grad_(False)


def load_best(kind: str) -> Sampler:
    """The committed generator of the best preset, "dcgan" or "cdcgan", as `dlapps data make gan` wrote it."""
    path = paths.results() / f"gan-{kind}.pt"
    if not path.is_file():
        raise GanError(
            f"expected a generator in {path}, got no such file; name dcgan or cdcgan, or run dlapps data make gan."
        )
    return load_generator(path)


def _read(path: str | Path, key: str) -> dict[str, Any]:
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
    # A truncated archive, a pickle with code in it, a text file: torch raises a different kind for each.
    except Exception as error:
        raise GanError(f"expected a file of a GAN in {path}, got one that does not load; name another file.") from error
    if not isinstance(saved, dict) or key not in saved:
        raise GanError(f"expected a file with a {key} in {path}, got another kind of file; name another one.")
    return saved
