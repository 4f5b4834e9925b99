"""From executed notebooks to the PDF: nbconvert preprocessors, one pandoc call a chapter, one LaTeX document."""


class ReportError(Exception):
    """What stops a build, in one sentence: expected …, got …, do …"""
