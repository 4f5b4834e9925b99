"""Pictures with their labels, ready to use: the real data set where it can be had, else what packages carry."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.preprocessing import normalize

from dlapps import assets, paths
from dlapps.assets import AssetError, Provenance
from dlapps.images import PictureError, find_pictures, read_picture
from dlapps.pretrained import imagenet_class_names

SCENES15_COUNTS = {"train": 1500, "test": 2985}

PHOTOS = {
    "cat": ("skimage", "data/chelsea.png", "CC0, Stefan van der Walt"),
    "coffee": ("skimage", "data/coffee.png", "CC0, Rachel Michetti"),
    "rocket": ("skimage", "data/rocket.jpg", "CC0, SpaceX"),
    "motorcycle": ("skimage", "data/motorcycle_left.png", "CC0, Middlebury Stereo 2014"),
    "astronaut": ("skimage", "data/astronaut.png", "public domain, NASA"),
    "temple": ("sklearn", "datasets/images/china.jpg", "CC BY, danielbuechele"),
    "flower": ("sklearn", "datasets/images/flower.jpg", "CC BY, dany13"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public domain, US Navy"),
}


@dataclass(frozen=True)
class Dataset:
    """Pictures, labels and where they come from.

    images: a uint8 array (N, H, W) or (N, H, W, 3), or a list of paths or arrays where sizes differ.
    labels: int64 (N,), or None; class_names[label] is a class's name. names: one a picture, for captions.
    """

    images: Sequence[Path] | Sequence[np.ndarray] | np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    provenance: Provenance
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f"expected the split train or test, got {split!r}; choose one of them.")


def load_scenes15(split: str) -> Dataset:
    """15-Scene [Lazebnik et al. 2006], the practical's split: 1,500 paths (100 a class) or 2,985.

    Raises AssetError where the pictures cannot be had (their features can: `load_scenes15_features`).
    """
    _check_split(split)
    scenes = load_folder(assets.fetch("scenes15") / split, check=False)
    if len(scenes) != SCENES15_COUNTS[split]:
        raise AssetError(
            f"expected {SCENES15_COUNTS[split]:,} {split} pictures, got {len(scenes):,}; fetch them again."
        )
    return Dataset(scenes.images, scenes.labels, scenes.class_names, assets.provenance("scenes15"), scenes.names)


@dataclass(frozen=True)
class SceneFeatures:
    """Features of all 15-Scene pictures, train first: what the experiments need of pictures that cannot be committed.

    blocks: a matrix (4485, D) float16 for each name, as "vgg16_features pool5 average 224". labels: int64 (4485,).
    sizes: (4485, 2), height and width in pixels. names: "bedroom/image_0001.jpg" and so on.
    """

    blocks: dict[str, np.ndarray]
    labels: np.ndarray
    sizes: np.ndarray
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    provenance: Provenance

    def split(self, *blocks: str, power: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """X_train (1500, D), y_train, X_test (2985, D), y_test: the blocks, each row L2-normalised, side by side.

        Side by side means that a linear classifier works with the sum of the blocks' kernels. power: raise the features
        to it before, 1/2 being the signed square root [Arandjelović and Zisserman 2012].
        """
        unknown = [block for block in blocks if block not in self.blocks]
        if unknown or not blocks:
            raise ValueError(f"expected blocks among {', '.join(self.blocks)}, got {unknown}; choose some of them.")
        parts = [
            np.abs(self.blocks[block].astype(np.float32)) ** power * np.sign(self.blocks[block]) for block in blocks
        ]
        features = np.concatenate([normalize(part) for part in parts], axis=1)
        train = SCENES15_COUNTS["train"]
        return features[:train], self.labels[:train], features[train:], self.labels[train:]


def load_scenes15_features() -> SceneFeatures:
    """The committed features of 15-Scene; `dlapps data make scenes15-features` made them from the pictures."""
    path = paths.results() / "scenes15-features.npz"
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    labels, sizes, names, classes = (entries.pop(name) for name in ("labels", "sizes", "names", "class_names"))
    provenance = Provenance("features of 15-Scene", f"committed, {path.name}", "", "derived numbers; see the pictures'")
    return SceneFeatures(entries, labels.astype(np.int64), sizes, tuple(names), tuple(classes), provenance)


@dataclass(frozen=True)
class FinetunedScores:
    """Class scores of EfficientNet-Lite0 with its last stages fine-tuned on 15-Scene.

    train: float32 (1500, 15), each by a network that has not seen the picture; test: (S, 2985, 15), one a seed.
    """

    train: np.ndarray
    test: np.ndarray


def load_finetuned_scores() -> FinetunedScores:
    """The committed scores; `dlapps data make scenes15-finetuned` made them from the pictures."""
    with np.load(paths.results() / "scenes15-finetuned.npz") as file:
        return FinetunedScores(file["train"].astype(np.float32), file["test"].astype(np.float32))


def load_results(name: str) -> dict:
    """Committed results of a study, as `dlapps data make NAME` wrote them; "made" says with what."""
    path = paths.results() / f"{name}.json"
    if not path.is_file():
        raise AssetError(f"expected results in {path}, got no such file; run dlapps data make {name}.")
    return json.loads(path.read_text())


def load_mnist(split: str) -> Dataset:
    """MNIST [LeCun et al. 1998]: uint8 (60000, 28, 28) or (10000, 28, 28).

    Where neither the mirror nor the network gives it, the 5,000 digits of the package index: of each digit's 500 the
    first 400 are train, the others test. `provenance` says which.
    """
    _check_split(split)
    try:
        part = {"train": "train", "test": "t10k"}[split]
        images, labels = (assets.fetch(f"mnist-{part}-{kind}").read_bytes() for kind in ("images", "labels"))
    except AssetError:
        return _load_mnist_5k(split)
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    targets = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    return Dataset(pixels, targets, _digits(), assets.provenance(f"mnist-{part}-images"))


def _load_mnist_5k(split: str) -> Dataset:
    with gzip.open(assets.fetch("mnist_5k"), "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    table = table[np.argsort(table[:, -1], kind="stable")]
    pixels, targets = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    rank = np.arange(len(table)) % 500
    chosen = rank < 400 if split == "train" else rank >= 400
    return Dataset(pixels[chosen], targets[chosen], _digits(), assets.provenance("mnist_5k"))


def _digits() -> tuple[str, ...]:
    return tuple("0123456789")


def load_imagenet_val25() -> Dataset:
    """The practical's 25 ImageNet validation pictures: uint8 (25, 224, 224, 3), labels in ImageNet's order."""
    with np.load(assets.fetch("imagenet_val25")) as file:
        images, labels = file["X"].astype(np.uint8), file["y"].astype(np.int64)
    class_names = imagenet_class_names()
    names = tuple(class_names[label] for label in labels)
    return Dataset(images, labels, class_names, assets.provenance("imagenet_val25"), names)


def load_imagenet_samples() -> Dataset:
    """500 ImageNet pictures of 500 classes, paths of several sizes; labels in ImageNet's order, from the file names."""
    files = find_pictures(assets.fetch("imagenet_samples"))
    class_names = imagenet_class_names()
    index = {_plain_name(name): label for label, name in enumerate(class_names)}
    labels = np.array([index[_plain_name(file.stem.partition("_")[2])] for file in files], dtype=np.int64)
    names = tuple(class_names[label] for label in labels)
    return Dataset(files, labels, class_names, assets.provenance("imagenet_samples"), names)


def _plain_name(name: str) -> str:
    return name.lower().translate(str.maketrans(" -", "__", "'"))


def load_photos() -> Dataset:
    """Photos that installed packages carry, a list of uint8 arrays (H, W, 3); no labels."""
    found = {name: entry for name, entry in PHOTOS.items() if find_spec(entry[0])}
    folders = {package: Path(find_spec(package).origin).parent for package, _, _ in found.values()}
    photos = [np.asarray(read_picture(folders[package] / member)) for package, member, _ in found.values()]
    licence = "; ".join(f"{name}: {licence}" for name, (_, _, licence) in found.items())
    source = f"installed packages {', '.join(folders)}"
    return Dataset(photos, None, (), Provenance(f"{len(photos)} photos", source, "", licence), tuple(found))


def load_folder(path: str | Path, check: bool = True) -> Dataset:
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
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    return Dataset(
        files,
        labels,
        tuple(classes) if labels is not None else (),
        Provenance(folder.name, str(folder), "", "yours"),
        names,
    )


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
