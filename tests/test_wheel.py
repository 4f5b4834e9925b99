"""Each wheel alone, as someone has it who installs that product and nothing else: `make
test-all`, not `make test`.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import CHECKOUT, MACHINE

pytestmark = pytest.mark.wheel
NEW = "labreport/new"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

# What the snippets expect to exist: a folder of pictures, a photo, digits on photos,
# two domains, images.
BEFORE = """
import numpy as np
import torch
from pathlib import Path
from PIL import Image
from dlapps import datasets

photos = datasets.load_photos().images
for number, photo in enumerate(photos):
    folder = Path("my-pictures") / ("even", "odd")[number % 2]
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / f"{number}.png")
Image.fromarray(photos[0]).save("my-photo.jpg")
random = np.random.default_rng(0)
source_images = random.integers(0, 256, (64, 28, 28), dtype=np.uint8)
source_labels = random.integers(0, 10, 64)
target_images = random.integers(0, 256, (64, 28, 28, 3), dtype=np.uint8)
photos_of_digits = target_images
my_images = torch.from_numpy(random.integers(0, 256, (256, 32, 32), dtype=np.uint8))
"""
# What each snippet has to have made.
AFTER = [
    "assert saliency_map.shape == (224, 224) and saliency_map.max() > 0",
    "assert features.shape == (len(photos), 320)\n"
    "assert search.best_params_['C'] in (0.1, 1, 10)",
    "assert len(digits) == 64 and drawn.shape == (10, 8, 32, 32)\n"
    "assert len(training.history.generator_loss) == 10",
]

# What starts another Python may be a script of the machine.
ENVIRONMENT = os.environ | {"PATH": MACHINE}


def find_interpreters():
    """The supported Pythons that run here by the name of their version, and always this
    one.
    """
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for version in VERSIONS:
        path = shutil.which(f"python{version}", path=MACHINE)
        if (
            path
            and subprocess.run(
                [path, "-c", ""], env=ENVIRONMENT, capture_output=True
            ).returncode
            == 0
        ):
            found.setdefault(version, path)
    return found


INTERPRETERS = find_interpreters()


def build(project, folder):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(project)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The wheel of dlapps."""
    return build(CHECKOUT, tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The wheel of labreport."""
    return build(CHECKOUT / "report", tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module", params=INTERPRETERS)
def installed(request, library, tmp_path_factory):
    """The bin folder of a new environment with the library alone, its dependencies as
    the index has them today.
    """
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    yield install(INTERPRETERS[request.param], folder, str(library))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=INTERPRETERS)
def reporting(request, engine, tmp_path_factory):
    """The same with the engine alone."""
    folder = tmp_path_factory.mktemp(f"reporting{request.param}")
    yield install(INTERPRETERS[request.param], folder, str(engine))
    shutil.rmtree(folder, ignore_errors=True)


def install(python, folder, package):
    subprocess.run([python, "-m", "venv", str(folder)], env=ENVIRONMENT, check=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, package], check=True)
    return scripts


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One user's cache for all interpreters: what one fetches, the others find."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def alone(cache, tmp_path, monkeypatch):
    """A current folder of one's own; nothing points to the checkout."""
    for name in (
        "DLAPPS_HOME",
        "DLAPPS_DATA",
        "LABREPORT_HOME",
        "PYTHONPATH",
        "VIRTUAL_ENV",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(installed, alone):
    """Call a script of the environment there."""

    def call(script, *arguments):
        return subprocess.run(
            [str(installed / script), *arguments], capture_output=True, text=True
        )

    return call


def snippets():
    """The Python of README.md, a string a block."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.+?)```", text, re.DOTALL)


def test_each_snippet_of_the_readme_runs(run):
    assert len(snippets()) == len(AFTER)
    blocks = [block for pair in zip(snippets(), AFTER, strict=True) for block in pair]
    Path("mine.py").write_text("\n".join([BEFORE, *blocks]), encoding="utf-8")
    result = run("python", "mine.py")
    assert result.returncode == 0, result.stderr[-3000:]
    assert {path.name for path in Path().iterdir()} == {
        "mine.py",
        "my-photo.jpg",
        "my-pictures",
    }


def has(scripts, package):
    """Whether that environment has a package."""
    find = (
        "import importlib.util, sys; "
        f"sys.exit(importlib.util.find_spec({package!r}) is None)"
    )
    return subprocess.run([str(scripts / "python"), "-c", find]).returncode == 0


def test_the_library_brings_its_networks_and_no_jupyter(run, installed):
    names = [path.name for path in sorted((CHECKOUT / "data" / "networks").iterdir())]
    code = (
        "from dlapps.core import paths; "
        "print(*sorted(path.name for path in paths.networks().iterdir()))"
    )
    assert run("python", "-c", code).stdout.split() == names
    code = (
        "from dlapps.datasets import load_scenes15_features; "
        "print(load_scenes15_features().labels.shape)"
    )
    assert run("python", "-c", code).stdout == "(4485,)\n"
    assert not any(
        has(installed, package) for package in ("IPython", "nbconvert", "labreport")
    )


def test_a_wrong_name_is_one_sentence(run):
    result = run("dlapps", "data", "fetch", "vgg19")
    assert result.returncode != 0
    assert result.stderr.startswith("dlapps: expected an asset among vgg16_features")
    assert result.stderr.count("\n") == 1


def test_data_tells_where_assets_are_stored(run, cache):
    listed = run("dlapps", "data")
    assert str(cache) in listed.stdout or sys.platform == "darwin"


def seconds_of_children():
    """Of the processor: what else the machine does is not counted."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.programs("latexmk")
def test_a_report_of_ones_own_takes_under_a_minute_and_no_torch_and_stays_there(
    reporting, alone, cache
):
    assert not any(
        has(reporting, package) for package in ("torch", "sklearn", "dlapps")
    )
    kept, before = set(cache.rglob("*")), seconds_of_children()
    labreport = str(reporting / "labreport")
    outside = subprocess.run([labreport, "report"], capture_output=True, text=True)
    assert outside.returncode == 2
    assert "make a report with labreport new" in outside.stderr
    subprocess.run(
        [labreport, "new", "mine", "--title", "Mine", "--author", "Me"], check=True
    )
    subprocess.run([labreport, "report", "--strict"], cwd="mine", check=True)
    after = seconds_of_children()
    subprocess.run([labreport, "html"], cwd="mine", check=True)
    assert after - before < 60
    assert Path("mine/report/build/report.pdf").read_bytes().startswith(b"%PDF")
    index = Path("mine/report/build/html/index.html").read_text()
    assert "1.1 The experiment" in re.sub("<[^>]+>", "", index)
    assert [path.name for path in alone.iterdir()] == ["mine"]
    assert not set((cache / "dlapps").rglob("*")) - kept


def test_a_wheel_has_its_package_and_what_it_reads_and_nothing_else(library, engine):
    for wheel, folder in (
        (library, CHECKOUT / "dlapps"),
        (engine, CHECKOUT / "report" / "labreport"),
    ):
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        assert {name.split("/")[0].split("-")[0] for name in names} == {folder.name}
        own = {
            f"{folder.name}/{path.relative_to(folder).as_posix()}"
            for path in folder.rglob("*")
            if path.is_file()
        }
        missing = {name for name in own - names if "__pycache__" not in name}
        assert missing == set()
    assert {f"{NEW}/.gitignore", f"{NEW}/report/references.bib"} <= names
    assert [name for name in names if name.endswith(".ipynb")] == [
        f"{NEW}/notebooks/1_first_chapter.ipynb"
    ]
    assert library.stat().st_size < 45e6
    assert engine.stat().st_size < 1e6
