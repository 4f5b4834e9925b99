"""Committed results of long computations."""

from __future__ import annotations

import json

from dlapps import paths
from dlapps.assets import AssetError


def load_results(name: str) -> dict:
    """Committed results of a study, as `dlapps data make NAME` wrote them; "made" says with what."""
    path = paths.results() / f"{name}.json"
    if not path.is_file():
        raise AssetError(f"expected results in {path}, got no such file; run dlapps data make {name}.")
    return json.loads(path.read_text())
