"""Write executed notebooks as a PDF, as HTML pages and as reading copies, by pandoc,
nbconvert and its templates.
"""

from pathlib import Path

__all__ = ["TEMPLATES"]

TEMPLATES = Path(__file__).parent / "template"
