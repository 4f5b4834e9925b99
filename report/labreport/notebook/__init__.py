"""How a notebook speaks: a chapter's numbers, tables and figures, its prose while it is
worked in, its profiles.
"""

from labreport.notebook.chapter import Chapter

__all__ = ["Chapter"]
