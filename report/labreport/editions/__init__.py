"""From executed notebooks to a PDF and to pages of HTML: pandoc, nbconvert and its
templates.
"""

from pathlib import Path

from labreport import LabreportError

__all__ = ["TEMPLATES", "ReportError"]

TEMPLATES = Path(__file__).parent / "template"


class ReportError(LabreportError):
    """What stops a build, in one sentence: expected …, got …, do …"""
