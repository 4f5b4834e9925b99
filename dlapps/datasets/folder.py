"""Pictures of your own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from dlapps.assets import Provenance
from dlapps.datasets.dataset import Dataset
from dlapps.images import PictureError, find_pictures


def load_folder(path: str | Path, check: bool = True) -> Dataset[list[Path]]:
    """Your own pictures: a folder with one folder a class, or pictures without labels; a list of paths.

    check: decode each once (fast, at low resolution), so that a broken one is named now and not after an hour.
    Raises PictureError for a folder without pictures, or naming the files that do not decode.
    """
    folder = Path(path)
    files = find_pictures(folder)
    if check:
        _check_decodable(files)
    classes = sorted({file.relative_to(folder).parts[0] for file in files if file.parent != folder})
    labels = None
    if classes and all(file.parent != folder for file in files):
        labels = np.array([classes.index(file.relative_to(folder).parts[0]) for file in files], dtype=np.int64)
    class_names = tuple(classes) if labels is not None else ()
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    return Dataset(files, labels, class_names, Provenance(folder.name, str(folder), "", "yours"), names)


def _check_decodable(files: Sequence[Path]) -> None:
    with ThreadPoolExecutor() as pool:
        broken = [file for file, decodes in zip(files, pool.map(_decodes, files), strict=True) if not decodes]
    if broken:
        shown = ", ".join(str(file) for file in broken[:3]) + (", …" if len(broken) > 3 else "")
        raise PictureError(
            f"expected {len(files):,} pictures that decode, got {len(broken):,} that do not ({shown}); "
            "replace them or take them out of the folder."
        )


def _decodes(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            # JPEG's own reduction: an eighth of the work, and a truncated file is still found.
            picture.draft("RGB", (64, 64))
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True
