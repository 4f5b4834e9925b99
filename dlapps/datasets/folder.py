"""Pictures of your own."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from dlapps.core.assets import Provenance
from dlapps.core.images import PictureError, find_pictures
from dlapps.datasets.dataset import Dataset


def load_folder(path: str | Path, check: bool = True) -> Dataset[list[Path]]:
    """Your own pictures: a folder with one folder a class, or pictures without labels;
    a list of paths.

    check: decode each once (fast, at low resolution), so that a broken one is named now
    and not after an hour. Raises PictureError for a folder without pictures, or naming
    the files that do not decode, or that lie beside the folders of the classes.
    """
    folder = Path(path)
    files = find_pictures(folder)
    if check:
        _check_decodable(files)
    names = [file.relative_to(folder) for file in files]
    class_names, labels = [], None
    stray = [name for name in names if len(name.parts) == 1]
    if stray and len(stray) < len(names):
        raise PictureError(
            f"expected each picture in the folder of its class in {folder}, got {len(stray):,} beside the folders "
            f"({_list_some(stray)}); move them into one, or take them out."
        )
    if not stray:
        class_names = sorted({name.parts[0] for name in names})
        labels = np.array(
            [class_names.index(name.parts[0]) for name in names], dtype=np.int64
        )
    provenance = Provenance(folder.name, str(folder), "yours")
    return Dataset(
        files, labels, tuple(class_names), provenance, tuple(map(Path.as_posix, names))
    )


def _check_decodable(files: Sequence[Path]) -> None:
    with ThreadPoolExecutor() as pool:
        broken = list(itertools.compress(files, pool.map(_is_broken, files)))
    if broken:
        raise PictureError(
            f"expected {len(files):,} pictures that decode, got {len(broken):,} that do not ({_list_some(broken)}); "
            "replace them or take them out of the folder."
        )


def _list_some(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files[:3])) + (", …" if len(files) > 3 else "")


def _is_broken(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            # JPEG's own reduction: an eighth of the work, and a truncated file is still
            # found.
            picture.draft("RGB", (64, 64))
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return True
    return False
