"""From executed notebooks to a PDF and to pages of HTML: pandoc, nbconvert and its templates."""

from pathlib import Path

from dlapps import DlappsError
from dlapps.core.paths import require

require("report", "ipykernel", "nbconvert", "nbformat", "papermill", "pypandoc")

TEMPLATES = Path(__file__).parent / "template"


class ReportError(DlappsError):
    """What stops a build, in one sentence: expected …, got …, do …"""
