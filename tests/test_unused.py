"""No public name of the library is left that no chapter, study, README or other line of
the library reads.
"""

import ast
import re

import pytest
from conftest import CHECKOUT

READERS = ("dlapps/**/*.py", "notebooks/**/*.py", "notebooks/*.ipynb")
READERS += ("data/studies/*.py", "README.md", "pyproject.toml")
FILES = [file for reader in READERS for file in CHECKOUT.glob(reader)]
# An __init__.py hands names on, and reads none.
TEXTS = [file.read_text() for file in FILES if file.name != "__init__.py"]
MODULES = sorted((CHECKOUT / "dlapps").rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_what_a_module_defines_is_read(module):
    for node in ast.parse(module.read_text()).body:
        name = getattr(node, "name", "_")
        words = re.findall(rf"\b{name}\b", "\n".join(TEXTS))
        remedy = "what no chapter, study or README reads is not in the library"
        assert name.startswith("_") or len(words) > 1, f"{name}: {remedy}"
