"""Pictures of your own."""

from pathlib import Path

import numpy as np

from dlapps.core.images import PictureError, find_pictures
from dlapps.datasets.dataset import Dataset


def load_folder(path: str | Path) -> Dataset[list[Path]]:
    """Load your own pictures, a list of paths.

    path: a folder with one folder for each class, or a folder of pictures without
        labels.

    Raises PictureError for a folder without pictures, and for one that lies beside the
    folders of the classes.
    """
    folder = Path(path)
    files = find_pictures(folder)
    inner = [file.relative_to(folder) for file in files]
    names = tuple(file.as_posix() for file in inner)
    stray = [name for name in names if "/" not in name]
    if len(stray) == len(files):
        return Dataset(files, None, (), str(folder), names)
    if stray:
        raise PictureError(
            f"expected each picture in the folder of its class in {folder}, "
            f"got {stray[0]} beside the folders; move it into one, or take it out."
        )
    class_names, labels = np.unique(
        [file.parts[0] for file in inner], return_inverse=True
    )
    return Dataset(
        files, labels.astype(np.int64), tuple(class_names.tolist()), str(folder), names
    )
