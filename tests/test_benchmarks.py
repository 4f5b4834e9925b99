"""The benchmarks without their peers: what the scripts import, a row of the table."""

import ast
import re
import sys

import pytest
import torch
from conftest import CHECKOUT

FOLDER = CHECKOUT / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
LOCAL = {script.stem for script in SCRIPTS} | sys.stdlib_module_names
LOCAL |= {"dlapps", "labreport"}
# Packages that are imported under another name than they are installed by.
PACKAGES = {"lucent": "torch-lucent", "pytorch_adapt": "pytorch-adapt"}


def imported(path):
    """The packages, by the names they are installed by, that a script imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    packages = set()
    for name in names:
        package = name.split(".")[0]
        if package not in LOCAL:
            packages.add(PACKAGES.get(package, package))
    return packages


def required(text):
    return set(re.findall(r'(?m)^ *"?([\w-]+)[>=]=', text))


@pytest.fixture
def comparison(monkeypatch):
    """The module of this name, for one test."""
    monkeypatch.syspath_prepend(FOLDER)
    import comparison

    yield comparison
    del sys.modules["comparison"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_everything_imported_is_required(path):
    project = (CHECKOUT / "pyproject.toml").read_text()
    packages = required(re.search(r"(?ms)^dependencies = \[(.+?)^\]", project)[1])
    for requirements in FOLDER.glob("requirements*.txt"):
        packages |= required(requirements.read_text())
    assert imported(path) <= packages


def test_a_row_compares_both_formats_with_the_peer(comparison, monkeypatch):
    runs = []
    clock = iter([0.0, 6.0, 0.0, 2.0, 0.0, 1.0])  # seconds: 6, 2 and 1
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: next(clock))

    def theirs():
        runs.append("peer")
        return 1.0

    def ours():
        product = torch.ones(1, 1) @ torch.ones(1, 1)
        runs.append(str(product.dtype))
        return product.dtype

    one = comparison.Comparison("a sum", "loop", theirs, ours, "{} {}".format)
    row = comparison.measure(one, rounds=1)
    assert runs == ["peer", "torch.float32", "torch.bfloat16"] * 2
    float32 = "3.00 (3.00 to 3.00) | 1.0 torch.float32"
    bfloat16 = "6.00 (6.00 to 6.00) | 1.0 torch.bfloat16"
    assert row == f"| a sum | loop | 6.000 | {float32} | {bfloat16} |"


def test_ratios_are_given_with_their_range(comparison):
    assert comparison.say_ratios([1.0, 4.0, 2.0]) == "2.00 (1.00 to 4.00)"


def test_the_cosine_is_the_least_of_a_batch(comparison):
    first = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    second = torch.tensor([[[2.0, 0.0]], [[3.0, 4.0]]])
    assert comparison.say_cosine(first, second) == "cosine 0.6000"


def test_the_change_of_weights_is_after_less_before(comparison):
    before = torch.nn.Linear(2, 1)
    after = comparison.copy_contiguous(before)
    with torch.no_grad():
        after.weight += 1
        after.bias -= 1
    change = comparison.change_of_weights(before, after)
    assert change.allclose(torch.tensor([[1.0, 1.0, -1.0]]))
