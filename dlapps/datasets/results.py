"""Committed results of long computations: numbers, and pictures that networks drew."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

from dlapps import paths
from dlapps.assets import AssetError


def load_results(name: str) -> dict:
    """Committed results of a study, as `dlapps data make NAME` wrote them; "made" says with what."""
    path = paths.results() / f"{name}.json"
    if not path.is_file():
        raise AssetError(f"expected results in {path}, got no such file; run dlapps data make {name}.")
    return json.loads(path.read_text())


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """Committed arrays of a study, as `dlapps data make NAME` wrote them."""
    path = paths.results() / f"{name}.npz"
    if not path.is_file():
        raise AssetError(f"expected arrays in {path}, got no such file; run dlapps data make {name}.")
    with np.load(path) as file:
        return dict(file)


def load_class_pictures() -> dict[str, np.ndarray]:
    """Pictures that `dlapps data make visualizing-classes` drew: uint8 (H, W, 3) by "network preset class"."""
    encoded = load_arrays("visualizing-classes")
    return {name: np.asarray(Image.open(io.BytesIO(array.tobytes()))) for name, array in encoded.items()}
