"""Deep learning applications: methods that read like the papers they implement.

`import dlapps` is fast: a topic such as `dlapps.saliency` is imported when it is first
asked for, and so are `assets`, `images` and `runtime`, modules of
`dlapps.core`.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from dlapps.core.checks import DlappsError

if TYPE_CHECKING:  # what __getattr__ hands on
    from dlapps.core import assets as assets
    from dlapps.core import images as images
    from dlapps.core import runtime as runtime

__version__ = "0.2.0"
__all__ = [
    "DlappsError",
    "adversarial",
    "assets",
    "class_visualization",
    "core",
    "dann",
    "datasets",
    "gan",
    "images",
    "plots",
    "pretrained",
    "runtime",
    "saliency",
    "transfer",
]


if not TYPE_CHECKING:  # a type checker would take any name for a module

    def __getattr__(name: str) -> ModuleType:
        """Import a topic, or a module of core, when it is first asked for."""
        if name in ("assets", "images", "runtime"):
            return importlib.import_module(f"dlapps.core.{name}")
        if name in __all__:
            return importlib.import_module(f"dlapps.{name}")
        raise AttributeError(f"module 'dlapps' has no attribute {name!r}")
