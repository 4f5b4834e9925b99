"""Write executed notebooks as a PDF, as HTML pages and as reading copies, by pandoc,
nbconvert and its templates.
"""

from pathlib import Path

from labreport import LabreportError

__all__ = ["TEMPLATES", "ReportError"]

TEMPLATES = Path(__file__).parent / "template"


class ReportError(LabreportError):
    """A mistake that stops a build, in one sentence: expected …, got …, do …"""
