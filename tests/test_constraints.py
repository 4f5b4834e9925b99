"""What make installs is pinned: each package that pyproject.toml names, for every
system and supported Python.
"""

import sys
from itertools import chain

import pytest
from conftest import CHECKOUT
from packaging.markers import Marker
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

# Builds of PyTorch differ by index, and an environment brings its own pip.
FILES = ("pyproject.toml", "report/pyproject.toml")
RANGES = {"torch", "torchvision", "pip"}
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "linux": ("posix", "Linux"),
    "win32": ("nt", "Windows"),
    "darwin": ("posix", "Darwin"),
}


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


def holds(marker, python, system):
    os_name, platform_system = SYSTEMS[system]
    machine = {
        "os_name": os_name,
        "sys_platform": system,
        "platform_system": platform_system,
    }
    return marker is None or Marker(str(marker)).evaluate(
        {
            **machine,
            "python_version": python,
            "python_full_version": f"{python}.0",
            "platform_machine": "x86_64",
        }
    )


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_each_dependency_has_one_pin_that_it_admits(required, pins, python, system):
    for requirement in required:
        if requirement.name in RANGES | {"dlapps"} or not holds(
            requirement.marker, python, system
        ):
            continue
        versions = [
            pin.specifier
            for pin in pins
            if pin.name == requirement.name and holds(pin.marker, python, system)
        ]
        assert len(versions) == 1, f"{requirement.name}: make lock"
        (exact,) = versions[0]
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
