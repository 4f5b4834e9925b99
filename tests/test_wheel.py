"""The wheel alone, as someone has it who installs the library and nothing else: `make test-all`, not `make test`."""

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
NEW = "dlapps/report/template/new"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

# What the snippets expect to exist: a folder of pictures, a photo, digits on photos, two domains, images.
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
target_images = photos_of_digits = random.integers(0, 256, (64, 28, 28, 3), dtype=np.uint8)
my_images = torch.from_numpy(random.integers(0, 256, (256, 32, 32), dtype=np.uint8))
"""
# What each snippet has to have made.
AFTER = [
    "assert saliency_map.shape == (224, 224) and saliency_map.max() > 0",
    "assert features.shape == (len(photos), 320) and search.best_params_['C'] in (0.1, 1, 10)",
    "assert len(digits) == 64 and drawn.shape == (10, 8, 32, 32) and len(training.history.spread) == 10",
]

# What starts another Python may be a script of the machine.
ENVIRONMENT = os.environ | {"PATH": MACHINE}


def find_interpreters():
    """The supported Pythons that run here by the name of their version, and always this one."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for version in VERSIONS:
        path = shutil.which(f"python{version}", path=MACHINE)
        if path and subprocess.run([path, "-c", ""], env=ENVIRONMENT, capture_output=True).returncode == 0:
            found.setdefault(version, path)
    return found


INTERPRETERS = find_interpreters()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(CHECKOUT)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module", params=INTERPRETERS)
def installed(request, wheel, tmp_path_factory):
    """The bin folder of a new environment with the wheel alone, its dependencies as the index has them today."""
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    yield install(INTERPRETERS[request.param], folder, str(wheel))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def reporting(wheel, tmp_path_factory):
    """The same for this Python, with what building a report needs."""
    folder = tmp_path_factory.mktemp("reporting")
    yield install(sys.executable, folder, f"{wheel}[report]")
    shutil.rmtree(folder, ignore_errors=True)


def install(python, folder, package):
    subprocess.run([python, "-m", "venv", str(folder)], env=ENVIRONMENT, check=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, package], check=True)
    return scripts


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One user's cache for all interpreters: what the first fetches, the others find."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def alone(cache, tmp_path, monkeypatch):
    """A folder of one's own, the current one, with nothing that points to the checkout."""
    for name in ("DLAPPS_HOME", "DLAPPS_DATA", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(installed, alone):
    """Call a script of the environment there."""

    def call(script, *arguments):
        return subprocess.run([str(installed / script), *arguments], capture_output=True, text=True)

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
    assert {path.name for path in Path().iterdir()} == {"mine.py", "my-photo.jpg", "my-pictures"}


def test_every_committed_result_is_there(run):
    names = [path.name for path in sorted((CHECKOUT / "data" / "results").iterdir())]
    code = "from dlapps.core import paths; print(*sorted(paths.find_results()))"
    assert run("python", "-c", code).stdout.split() == names
    code = "from dlapps.datasets import load_scenes15_features; print(load_scenes15_features().labels.shape)"
    assert run("python", "-c", code).stdout == "(4485,)\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("report", "expected a folder with report/report.toml for dlapps report, got "),
        ("data make gan", "a folder with report/report.toml for dlapps data make, got "),
        ("data fetch vgg19", "expected an asset among vgg16"),
    ],
)
def test_what_needs_the_folder_of_a_report_says_so_in_one_sentence(run, arguments, sentence):
    result = run("dlapps", *arguments.split())
    assert result.returncode != 0
    assert result.stderr.startswith("dlapps: expected ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_info_and_data_need_no_report(run, cache):
    info = run("dlapps", "info")
    assert "outside a report's folder" in info.stdout
    assert str(cache) in info.stdout or sys.platform == "darwin"
    assert run("dlapps", "data").returncode == 0


def test_a_chapter_without_jupyter_says_what_to_install(run):
    for module in ("notebook", "report.build"):
        result = run("python", "-c", f"import dlapps.{module}")
        assert 'got none; run pip install "dlapps[report]".' in result.stderr.splitlines()[-1], module


def seconds_of_children():
    """Of the processor: what else the machine does is not counted."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.programs("latexmk")
def test_a_report_of_ones_own_takes_under_a_minute_and_stays_there(reporting, alone, cache):
    kept, before = set(cache.rglob("*")), seconds_of_children()
    dlapps = str(reporting / "dlapps")
    subprocess.run([dlapps, "new", "mine", "--title", "Mine", "--author", "Me"], check=True)
    subprocess.run([dlapps, "report"], cwd="mine", check=True)
    after = seconds_of_children()
    subprocess.run([dlapps, "html"], cwd="mine", check=True)
    assert after - before < 60
    assert Path("mine/report/build/dlapps-report.pdf").read_bytes().startswith(b"%PDF")
    index = Path("mine/report/build/html/index.html").read_text()
    assert "1.1 The experiment" in re.sub("<[^>]+>", "", index)
    assert [path.name for path in alone.iterdir()] == ["mine"]
    assert not set((cache / "dlapps").rglob("*")) - kept


def test_the_wheel_has_no_tests_and_no_notebooks_but_the_first_of_ones_own(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dlapps"}
    notebooks = [name for name in names if name.endswith(".ipynb")]
    assert notebooks == [f"{NEW}/notebooks/1_first_chapter.ipynb"]
    assert {f"{NEW}/.gitignore", f"{NEW}/report/references.bib"} <= set(names)
    beside = {f"dlapps/notebook/{path.name}" for path in (CHECKOUT / "dlapps/notebook").glob("*.*")}
    assert {"dlapps/py.typed", *beside} <= set(names)
    assert wheel.stat().st_size < 30e6
