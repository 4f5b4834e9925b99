"""The course's settings, which nbgrader reads where it is started; README.md says more."""

import os


def shorten(notebook: dict, resources: dict) -> tuple[dict, dict]:
    """Keep what cells printed readable; nbgrader counts lines, and one may have 100 MB."""
    outputs = [
        output for cell in notebook["cells"] for output in cell.get("outputs", ())
    ]
    for texts in (*outputs, *(output.get("data", {}) for output in outputs)):
        for kind in {"text", "text/plain"} & texts.keys():
            texts[kind] = texts[kind][:100_000]
    return notebook, resources


c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.Execute.timeout = 300  # seconds that a cell may run
c.Autograde.autograde_preprocessors.insert(1, shorten)  # behind Execute
c.OverwriteCells.add_missing_cells = True  # a test that was deleted
c.ClearMarkScheme.enforce_metadata = (
    False  # rubrics stand in questions, which are no tasks
)
# Kernels inherit these. A bar of progress is written where errors are, and a test with
# errors has no points.
os.environ.setdefault("LABREPORT_PROFILE", "smoke")
os.environ.setdefault("TQDM_DISABLE", "1")
