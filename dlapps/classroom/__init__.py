"""The class edition: notebooks with blanks, checks of what was filled in, and the way back to the solution."""

from dataclasses import dataclass

from dlapps import DlappsError
from dlapps.extras import require

require("report", "ipykernel", "nbclient", "nbformat", "papermill")


class ClassroomError(DlappsError):
    """What stops a command of the class edition, in one sentence: expected …, got …, do …"""


@dataclass(frozen=True)
class Verdict:
    """What one check found: `fault` is "expected …, got …", or None where it passed; `why` says why it matters."""

    name: str
    fault: str | None
    why: str

    @property
    def line(self) -> str:
        """The verdict as one line of text."""
        if self.fault:
            return f"failed  {self.name}: {self.fault}. {self.why}"
        return f"passed  {self.name}"
