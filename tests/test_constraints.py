"""What make installs is pinned: each package that pyproject.toml names."""

import sys
from itertools import chain

import pytest
from conftest import CHECKOUT
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

# Builds of PyTorch differ by index, and an environment brings its own pip.
FILES = ("pyproject.toml", "report/pyproject.toml")
RANGES = {"torch", "torchvision", "pip"}


@pytest.fixture(scope="module")
def required():
    """What both products ask for, with all that is optional."""
    projects = (
        tomllib.loads((CHECKOUT / name).read_text(encoding="utf-8"))["project"]
        for name in FILES
    )
    named = [
        (each["dependencies"], *each["optional-dependencies"].values())
        for each in projects
    ]
    return [Requirement(line) for lists in named for line in chain(*lists)]


@pytest.fixture(scope="module")
def pins():
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_each_dependency_has_pins_that_it_admits(required, pins):
    for requirement in required:
        if requirement.name in RANGES | {"dlapps"}:
            continue
        of_name = [pin.specifier for pin in pins if pin.name == requirement.name]
        assert of_name, f"{requirement.name}: make lock"
        for specifier in of_name:
            (exact,) = specifier
            assert exact.operator == "=="
            assert requirement.specifier.contains(exact.version), (
                f"{requirement.name}: make lock"
            )


def test_torch_stays_a_range_and_no_address_is_written(pins):
    assert not {pin.name for pin in pins} & (RANGES | {"triton"})
    assert not [
        pin for pin in pins if pin.name.startswith(("nvidia-", "cuda-")) or pin.url
    ]


def test_no_extra_of_either_product_names_the_other(required):
    assert "labreport" not in {requirement.name for requirement in required}
    engine = tomllib.loads(
        (CHECKOUT / "report" / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    assert "dlapps" not in str(engine)
