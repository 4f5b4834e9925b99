"""A run of a report: what is chosen for it, and the folders of what it makes."""

from dataclasses import dataclass
from pathlib import Path

from labreport import paths


@dataclass(frozen=True)
class Run:
    """The profile and the seed under which chapters run; each seed has its folders."""

    profile: str
    seed: int = 0

    @property
    def build(self) -> Path:
        """Return the folder of the editions."""
        folder = paths.report() / "build"
        return folder / f"seed-{self.seed}" if self.seed else folder

    @property
    def figures(self) -> Path:
        """Return the folder in which notebooks save their figures, and from which a
        build reads them.
        """
        return self.build / "figures" if self.seed else paths.project() / "figures"

    @property
    def tex(self) -> Path:
        """Return the folder in which TeX runs."""
        return self.build / self.profile / "tex"

    def executed(self, name: str) -> Path:
        """Return the file of the executed copy of the notebook with that stem."""
        return self.build / self.profile / f"{name}.ipynb"
