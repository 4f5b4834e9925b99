"""The interface of a notebook: a chapter's numbers, tables and figures, and its live
prose.
"""

from labreport.notebook.chapter import Chapter

__all__ = ["Chapter"]
