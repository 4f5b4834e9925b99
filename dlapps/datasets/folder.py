"""Pictures of your own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from dlapps.core.assets import Provenance
from dlapps.core.images import (
    MODES_WITHOUT_RANGE,
    UNREADABLE,
    PictureError,
    find_pictures,
)
from dlapps.datasets.dataset import Dataset


def load_folder(path: str | Path, check: bool = True) -> Dataset[list[Path]]:
    """Load your own pictures, a list of paths.

    path: a folder with one folder for each class, or a folder of pictures without
        labels.
    check: decode each picture once (fast, at low resolution), so that one that
        `read_picture` refuses is named now and not after an hour.

    Raises PictureError for a folder without pictures, and for files that do not decode
    or that lie beside the folders of the classes, which it names.
    """
    folder = Path(path)
    files = find_pictures(folder)
    if check:
        _check_decodable(files)
    inner = [file.relative_to(folder) for file in files]
    class_names, labels = _read_classes(folder, inner)
    names = tuple(file.as_posix() for file in inner)
    provenance = Provenance(folder.name, str(folder), "yours")
    return Dataset(files, labels, class_names, provenance, names)


def _read_classes(
    folder: Path, files: Sequence[Path]
) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return the names of the files' folders, which are the classes, and the labels.

    There are none if no file lies in a folder.
    """
    stray = [file for file in files if len(file.parts) == 1]
    if len(stray) == len(files):
        return (), None
    if stray:
        raise PictureError(
            f"expected each picture in the folder of its class in {folder}, "
            f"got {len(stray):,} beside the folders ({_list_some(stray)}); "
            "move them into one, or take them out."
        )
    class_names, labels = np.unique(
        [file.parts[0] for file in files], return_inverse=True
    )
    return tuple(class_names.tolist()), labels.astype(np.int64)


def _check_decodable(files: Sequence[Path]) -> None:
    with ThreadPoolExecutor() as pool:
        verdicts = pool.map(_is_broken, files)
        broken = [
            file for file, verdict in zip(files, verdicts, strict=True) if verdict
        ]
    if broken:
        raise PictureError(
            f"expected {len(files):,} pictures that decode to 8 or 16 bits a channel, "
            f"got {len(broken):,} that do not ({_list_some(broken)}); "
            "replace them or take them out of the folder."
        )


def _list_some(files: Sequence[Path]) -> str:
    names = [str(file) for file in files[:3]]
    if len(files) > 3:
        names.append("…")
    return ", ".join(names)


def _is_broken(file: Path) -> bool:
    """Return whether `read_picture` would refuse a file."""
    try:
        with Image.open(file) as picture:
            # JPEG's own reduction: an eighth of the work, and a truncated file is still
            # found.
            picture.draft("RGB", (64, 64))
            picture.load()
            return picture.mode in MODES_WITHOUT_RANGE
    except UNREADABLE:
        return True
