"""An asset is its content: whatever the source, never half written, never another
one.
"""

import errno
import gzip
import hashlib
import io
import multiprocessing
import os
import shutil
import tarfile
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dlapps.core import assets, paths
from dlapps.core.assets import Asset, AssetError

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9/thing.bin"
PACKED = {"mirror": "thing.gz", "unpack": "gzip"}
WHEEL = {"source": "package==1", "unpack": "zip", "member": "package/thing.bin"}


def make_asset(**changes):
    fields = {
        "filename": "thing.bin",
        "sha256": SHA256,
        "size": 7000,
        "licence": "MIT",
        "mirror": "thing.bin",
        **changes,
    }
    return Asset(name="thing", description="a thing", **fields)


def register(**changes):
    assets.registry()["thing"] = make_asset(**changes)


def expect_error(match):
    with pytest.raises(AssetError, match=match):
        assets.fetch("thing")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """An empty project, an empty mirror, and a registry whose one asset the test
    chooses; else PACKED gives it.
    """
    registered = {"thing": make_asset(**PACKED)}
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("DLAPPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DLAPPS_DATA", str(tmp_path / "mirror"))
    monkeypatch.setattr(assets, "registry", lambda: registered)
    return tmp_path / "mirror"


@pytest.fixture
def packed(mirror):
    """What PACKED names, in the mirror."""
    (mirror / "thing.gz").write_bytes(gzip.compress(CONTENT))
    return mirror / "thing.gz"


def test_mirror_is_used_in_place(mirror):
    (mirror / "thing.bin").write_bytes(CONTENT)
    register()
    assert assets.fetch("thing") == mirror / "thing.bin"
    assert assets.is_present("thing")


def test_packed_file_is_unpacked_before_it_is_verified(packed):
    assert assets.is_present("thing")
    path = assets.fetch("thing")
    assert path.read_bytes() == CONTENT
    assert path.parent == paths.assets()


def test_what_is_at_hand_is_hashed_once(packed, monkeypatch):
    path = assets.fetch("thing")
    assets.fetch("thing")

    def refuse(*_):
        raise AssertionError("hashed again")

    monkeypatch.setattr(assets, "digest", refuse)
    assert assets.fetch("thing") == path


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"x", b""])
def test_damaged_source_gives_one_sentence_and_no_file(packed, content):
    packed.write_bytes(gzip.compress(content))
    expect_error(r"expected thing .* got another SHA-256; connect")
    assert os.listdir(paths.assets()) == [".thing.lock"]


def test_altered_stored_copy_is_fetched_anew(packed):
    path = paths.assets() / "thing.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"altered")
    assert assets.fetch("thing").read_bytes() == CONTENT


def test_altered_stored_copy_stays_when_no_source_answers(mirror):
    paths.assets().mkdir(parents=True)
    (paths.assets() / "thing.bin").write_bytes(b"altered")
    expect_error("from a mirror, got none that has it")
    assert (paths.assets() / "thing.bin").read_bytes() == b"altered"


def test_without_a_network_the_source_is_named(mirror):
    register(source=NOWHERE)
    expect_error(rf"from {NOWHERE}, got .*Max retries.*; connect to a network")


def test_a_download_is_unpacked(packed):
    handler = partial(SimpleHTTPRequestHandler, directory=packed.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/thing.gz"
        register(source=address, unpack="gzip")
        try:
            assert assets.fetch("thing").read_bytes() == CONTENT
        finally:
            server.shutdown()


def make_zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, CONTENT)


def make_tar(path, names, content=CONTENT, link=None):
    """A tar file; link: where one of the name "data/train/out", before the files,
    leads.
    """
    with tarfile.open(path, "w:gz") as archive:
        if link:
            entry = tarfile.TarInfo("data/train/out")
            entry.type, entry.linkname = tarfile.SYMTYPE, str(link)
            archive.addfile(entry)
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.fixture
def index(mirror, tmp_path, monkeypatch):
    """A folder in the package index's place."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.fixture
def wheel(index):
    """A wheel that pip finds and that holds the asset."""
    path = index / "package-1-py3-none-any.whl"
    make_zip(path, ["package/thing.bin", "package/other.py"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "package-1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: package\nVersion: 1\n",
        )
        archive.writestr(
            "package-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("package-1.dist-info/RECORD", "")
    return path


def test_wheel_member(wheel):
    register(**WHEEL)
    assert assets.fetch("thing").read_bytes() == CONTENT


def test_a_source_package_is_not_run(index, tmp_path):
    setup = f"""
open({str(tmp_path / "ran")!r}, 'w')
from setuptools import setup
setup(name='package', version='1')
"""
    make_tar(index / "package-1.tar.gz", ["package-1/setup.py"], setup.encode())
    register(**WHEEL)
    expect_error("from package==1, got .*No matching distribution found for")
    assert not (tmp_path / "ran").exists()


def test_full_disk_is_no_reason_to_ask_another_source_and_leaves_nothing(
    packed, monkeypatch
):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        assets.fetch("thing")
    assert os.listdir(paths.assets()) == [".thing.lock"]


@pytest.fixture
def archive(mirror, monkeypatch):
    """What a download gives: data/train of it is a folder of one picture."""

    def make_downloader(progressbar):
        return lambda source, output, _: shutil.copyfile(mirror / source, output)

    monkeypatch.setattr(assets.pooch, "HTTPDownloader", make_downloader)
    return mirror / "archive"


def register_archive(unpack):
    sha256 = hashlib.sha256(f"a.jpg {SHA256}\n".encode()).hexdigest()
    fields = {"filename": "folder", "sha256": sha256, "suffix": ".jpg"}
    register(source="archive", unpack=unpack, member="data/train", **fields)


@pytest.mark.parametrize(("unpack", "make"), [("zip", make_zip), ("gztar", make_tar)])
def test_archive_gives_the_folder_asked_for_and_nothing_beside_it(
    archive, unpack, make
):
    beside = ["data/train/notes.txt", "data/test/b.jpg", "data/train2/c.jpg"]
    outside = [
        "data/train/../../../evil.jpg",
        "../evil.jpg",
        "/evil.jpg",
        f"{archive.parent}/evil.jpg",
    ]
    make(archive, ["data/train/a.jpg", *beside, *outside])
    register_archive(unpack)
    if unpack == "gztar":
        expect_error("evil.jpg' would be extracted to .* outside the destination")
        make(archive, ["data/train/a.jpg", *beside])
    assert [path.name for path in assets.fetch("thing").rglob("*")] == ["a.jpg"]
    assert not [*archive.parent.parent.rglob("evil.jpg")]
    assert not Path("/evil.jpg").exists()


def test_archive_with_a_link_is_refused(archive):
    names = ["data/train/a.jpg", "data/train/out/evil.jpg"]
    make_tar(archive, names, link=archive.parent)
    register_archive("gztar")
    expect_error("'data/train/out' is a link to an absolute path")
    assert os.listdir(archive.parent) == ["archive"]


def test_folder_digest_sees_each_byte_and_each_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"1")
    (tmp_path / "notes.txt").write_text("not counted")
    first = assets.digest(tmp_path, ".jpg")
    (tmp_path / "notes.txt").unlink()
    assert assets.digest(tmp_path, ".jpg") == first
    (tmp_path / "a" / "1.jpg").rename(tmp_path / "a" / "2.jpg")
    assert assets.digest(tmp_path, ".jpg") != first


def _fetch(home, mirror, queue):
    os.environ.update(DLAPPS_HOME=str(home), DLAPPS_DATA=str(mirror))
    registered = {"thing": make_asset(**PACKED)}
    assets.registry = lambda: registered
    queue.put(assets.fetch("thing").read_bytes() == CONTENT)


def test_two_processes_at_once_both_get_it(packed, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    arguments = (tmp_path / "home", packed.parent, queue)
    processes = [spawn.Process(target=_fetch, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [queue.get(timeout=5) for _ in processes] == [True, True]
