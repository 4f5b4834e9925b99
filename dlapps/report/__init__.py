"""From executed notebooks to the PDF: nbconvert preprocessors, one pandoc call a chapter, one LaTeX document."""

from dlapps import DlappsError


class ReportError(DlappsError):
    """What stops a build, in one sentence: expected …, got …, do …"""
