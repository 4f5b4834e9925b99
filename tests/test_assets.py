"""An asset is its content: whatever the source, never half written, never another one."""

import gzip
import hashlib
import io
import multiprocessing
import tarfile
import zipfile
from pathlib import Path

import pytest

from dlapps.core import assets, download, paths
from dlapps.core.assets import AssetError
from dlapps.core.registry import REGISTRY, Asset, Mirror, Package, Url, Wheel

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def make_asset(*sources, **changes):
    fields = {"name": "thing", "description": "a thing", "filename": "thing.bin", "sha256": SHA256, "size": 7000}
    return Asset(**{**fields, "licence": "MIT", "sources": sources, **changes})


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """An empty project, an empty mirror, and a registry whose one asset the test chooses."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("DLAPPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DLAPPS_DATA", str(tmp_path / "mirror"))
    monkeypatch.setattr(paths, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("dlapps.core.assets.REGISTRY", {})
    return tmp_path / "mirror"


def register(asset):
    assets.REGISTRY[asset.name] = asset


def test_mirror_is_used_in_place(mirror):
    (mirror / "thing.bin").write_bytes(CONTENT)
    register(make_asset(Mirror("thing.bin")))
    assert assets.fetch("thing") == mirror / "thing.bin"
    assert assets.is_present("thing")


def test_packed_file_is_unpacked_before_it_is_verified(mirror):
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    path = assets.fetch("thing")
    assert path.read_bytes() == CONTENT
    assert path.parent == paths.assets()


def test_a_checkout_uses_what_the_users_cache_has(mirror):
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    cached = paths.user_cache() / "assets" / "thing.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert assets.is_present("thing")
    assert assets.fetch("thing") == cached
    assert not paths.assets().exists()


def test_a_damaged_copy_in_the_users_cache_is_passed_over(mirror):
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    cached = paths.user_cache() / "assets" / "thing.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:-1])
    assert assets.fetch("thing") == paths.assets() / "thing.bin"


def test_a_folder_that_cannot_be_made_is_one_sentence(mirror, tmp_path):
    (tmp_path / "home").write_text("a file in the way")
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    with pytest.raises(AssetError, match=r"expected a folder .* to keep thing in, got .*; make it"):
        assets.fetch("thing")


def test_a_folder_that_cannot_be_written_is_one_sentence_and_gives_what_it_has(mirror, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("dlapps.core.assets.FileLock", refuse)
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    with pytest.raises(AssetError, match=r"expected a folder .* to keep thing in, got Permission denied; make it"):
        assets.fetch("thing")
    (paths.assets() / "thing.bin").write_bytes(CONTENT)
    assert assets.fetch("thing") == paths.assets() / "thing.bin"


def test_without_pip_the_reason_is_named(mirror, monkeypatch):
    monkeypatch.setattr("dlapps.core.download.find_spec", lambda name: None)
    register(make_asset(Wheel("package==1", "package/thing.bin", SHA256)))
    with pytest.raises(AssetError, match=r"package index, package==1: pip is not installed in this environment"):
        assets.fetch("thing")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"x", lambda data: b""])
def test_damaged_source_gives_one_sentence_and_no_file(mirror, damage):
    (mirror / "thing.gz").write_bytes(gzip.compress(damage(CONTENT)))
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    with pytest.raises(AssetError, match=r"expected thing .* got none \(mirror, thing.gz: expected SHA-256"):
        assets.fetch("thing")
    assert not list(paths.assets().glob("thing*"))
    assert not list(paths.assets().glob(".partial*"))


def test_truncated_archive_falls_through_to_the_next_source(mirror):
    (mirror / "a.gz").write_bytes(gzip.compress(CONTENT)[:-20])
    (mirror / "b.gz").write_bytes(gzip.compress(CONTENT))
    register(make_asset(Mirror("a.gz", gunzip=True), Mirror("b.gz", gunzip=True)))
    assert assets.fetch("thing").read_bytes() == CONTENT


def test_altered_stored_copy_is_fetched_anew(mirror):
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    path = assets.fetch("thing")
    path.write_bytes(b"altered")
    assert [good for _, good in assets.verify()] == [False]
    assert assets.fetch("thing").read_bytes() == CONTENT


def test_altered_stored_copy_stays_when_no_source_answers(mirror):
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    paths.assets().mkdir(parents=True)
    (paths.assets() / "thing.bin").write_bytes(b"altered")
    with pytest.raises(AssetError, match=r"got none \(.*thing.bin: damaged; mirror, thing.gz: not in .*mirror"):
        assets.fetch("thing")
    assert (paths.assets() / "thing.bin").read_bytes() == b"altered"


def test_no_network_and_no_mirror_names_each_source(mirror, monkeypatch):
    monkeypatch.delenv("DLAPPS_DATA")

    def refuse(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("dlapps.core.download.pooch.HTTPDownloader", lambda **_: refuse)
    register(make_asset(Mirror("thing.bin"), Url("https://example.org/thing.bin")))
    with pytest.raises(AssetError, match=r"DLAPPS_DATA is not set; https://example.org/thing.bin: no network"):
        assets.fetch("thing")


def test_package_is_asked_where_it_is_installed(mirror, tmp_path):
    packed = tmp_path / "thing.gz"
    asset = make_asset(Package("things", str(packed)), Url("https://example.org/thing.bin"))
    register(asset)
    assert assets.provenance("thing").source == "https://example.org/thing.bin"
    packed.write_bytes(gzip.compress(CONTENT))
    assert assets.provenance("thing").source == "Debian's package things"
    assert assets.fetch("thing").read_bytes() == CONTENT


def make_wheel(folder, *members, content=CONTENT):
    """A wheel named package-1 among what pip finds; its SHA-256."""
    with zipfile.ZipFile(folder / "package-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("package-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: package\nVersion: 1\n")
        wheel.writestr("package-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("package-1.dist-info/RECORD", "")
        for member in members:
            wheel.writestr(member, content)
    return assets.digest(Path(wheel.filename))


@pytest.fixture
def index(mirror, tmp_path, monkeypatch):
    """A folder in the package index's place."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_wheel_member(index):
    register(make_asset(Wheel("package==1", "package/thing.bin", make_wheel(index, "package/thing.bin"))))
    assert assets.fetch("thing").read_bytes() == CONTENT


def test_wheel_folder(index, mirror):
    wheel = Wheel("package==1", "package", make_wheel(index, "package/a.jpg", "package/b.png", "other/c.jpg"))
    expected = mirror / "expected"
    expected.mkdir()
    (expected / "a.jpg").write_bytes(CONTENT)
    sha256 = assets.digest(expected, ".jpg")
    register(make_asset(wheel, sha256=sha256, suffix=".jpg"))
    assert [file.name for file in assets.fetch("thing").iterdir()] == ["a.jpg"]


def test_a_wheel_of_another_hash_is_not_taken_even_where_it_holds_the_asset(index):
    make_wheel(index, "package/thing.bin", "package/other.py")
    register(make_asset(Wheel("package==1", "package/thing.bin", SHA256)))
    with pytest.raises(AssetError, match="package index, package==1: THESE PACKAGES DO NOT MATCH THE HASHES"):
        assets.fetch("thing")


def test_a_source_package_is_not_run(index, tmp_path):
    setup = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup\nsetup(name='package', version='1')\n"
    with tarfile.open(index / "package-1.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("package-1/setup.py")
        entry.size = len(setup)
        archive.addfile(entry, io.BytesIO(setup.encode()))
    register(make_asset(Wheel("package==1", "package/thing.bin", assets.digest(index / "package-1.tar.gz"))))
    with pytest.raises(AssetError, match="package index, package==1: No matching distribution found for package==1"):
        assets.fetch("thing")
    assert not (tmp_path / "ran").exists()


def test_an_index_out_of_reach_is_the_reason(mirror, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    register(make_asset(Wheel("package==1", "package/thing.bin", SHA256)))
    with pytest.raises(AssetError, match=r"package index, package==1: no connection \(\w+Error\)"):
        assets.fetch("thing")


def test_full_disk_leaves_nothing(mirror, monkeypatch):
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    register(make_asset(Mirror("thing.gz", gunzip=True)))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dlapps.core.download.shutil.copyfileobj", full)
    with pytest.raises(AssetError, match="No space left on device"):
        assets.fetch("thing")
    assert not [path for path in paths.assets().iterdir() if path.suffix != ".lock"]


def test_what_a_killed_fetch_left_is_swept_away(mirror):
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    register(make_asset(Mirror("thing.gz", gunzip=True)))
    left = paths.assets() / ".partial-thing-killed"
    left.mkdir(parents=True)
    (left / "content").write_bytes(CONTENT[:100])
    assets.fetch("thing")
    assert not left.exists()


def make_zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, CONTENT)


def make_tar(path, names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(CONTENT)
            archive.addfile(entry, io.BytesIO(CONTENT))


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_archive_gives_only_the_folder_asked_for(tmp_path, make):
    make(tmp_path / "archive", ["data/train/a.jpg", "data/train/notes.txt", "data/test/b.jpg"])
    download.extract_folder(tmp_path / "archive", "data/train", ".jpg", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a.jpg"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["data/train/../../../evil.jpg", "/evil.jpg"])
def test_archive_that_would_leave_its_folder_is_refused(tmp_path, make, name):
    make(tmp_path / "archive", [name])
    with pytest.raises(AssetError, match="expected names inside the archive's folder"):
        download.extract_folder(tmp_path / "archive", "data/train", ".jpg", tmp_path / "out" / "deep")
    assert not (tmp_path / "evil.jpg").exists()


def test_folder_digest_sees_each_byte_and_each_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"1")
    (tmp_path / "notes.txt").write_text("not counted")
    first = assets.digest(tmp_path, ".jpg")
    (tmp_path / "notes.txt").unlink()
    assert assets.digest(tmp_path, ".jpg") == first
    (tmp_path / "a" / "1.jpg").rename(tmp_path / "a" / "2.jpg")
    assert assets.digest(tmp_path, ".jpg") != first


def test_unknown_asset_lists_the_valid_ones():
    with pytest.raises(AssetError, match=r"expected an asset among vgg16, .*got 'vgg19'"):
        assets.fetch("vgg19")


def _fetch(home, mirror, queue):
    import os

    os.environ.update(DLAPPS_HOME=str(home), DLAPPS_DATA=str(mirror))
    assets.REGISTRY = {"thing": make_asset(Mirror("thing.gz", gunzip=True))}
    queue.put(assets.fetch("thing").read_bytes() == CONTENT)


def test_two_processes_at_once_both_get_it(mirror, tmp_path):
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    processes = [spawn.Process(target=_fetch, args=(tmp_path / "home", mirror, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [queue.get(timeout=5) for _ in processes] == [True, True]


def test_registry_is_complete():
    for name, asset in REGISTRY.items():
        assert name == asset.name
        assert len(asset.sha256) == 64
        assert asset.size > 0
        assert asset.sources
        assert asset.licence
        assert all(len(source.sha256) == 64 for source in asset.sources if isinstance(source, Wheel))
