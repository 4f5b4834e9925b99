"""The parameters of a notebook: where they stand, and how a run replaces them."""

import pytest
from conftest import PARAMETERS, SMOKE, code, text
from nbformat.v4 import new_notebook

from labreport import LabreportError
from labreport.cli import main
from labreport.notebook.parameters import find_parameters, set_parameters
from labreport.runs import Run


@pytest.mark.parametrize(
    "source",
    [
        'profile = "quick"',
        "seed = 0",
        'if True:\n    profile = "quick"\n    seed = 0',
        f"%time\n{PARAMETERS}",
    ],
)
def test_a_cell_without_one_of_them_is_a_mistake(project, capsys, source):
    notebook = new_notebook(cells=[code(PARAMETERS), code(source, "parameters")])
    with pytest.raises(LabreportError, match="and seed = 0, got none"):
        find_parameters(notebook)
    path = project.write("1_transfer")
    written = path.read_text()
    assert PARAMETERS.splitlines()[1] in written
    path.write_text(written.replace("seed = 0", "pass"))
    for verb in ("run", "html"):
        assert main([verb]) == 2
        assert 'with profile = "quick" and seed = 0, got' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (PARAMETERS, 'profile = "voll-ä\\\\1"\nseed = 4'),
        (
            'é = "é"; profile="quick"  # or full\nseed = (\n    0\n)  # chance',
            'é = "é"; profile="voll-ä\\\\1"  # or full\nseed = (\n    4\n)  # chance',
        ),
        (
            f"# profile = 1\n{PARAMETERS}\nshown = profile",
            '# profile = 1\nprofile = "voll-ä\\\\1"\nseed = 4\nshown = profile',
        ),
    ],
)
def test_a_run_replaces_their_values_and_nothing_else(source, wanted):
    notebook = new_notebook(cells=[text("# A"), code(source, "parameters")])
    set_parameters(notebook, Run("voll-ä\\1", 4))
    assert notebook.cells[1].source == wanted


@pytest.mark.report
@pytest.mark.parametrize(
    ("handed_on", "run", "got"),
    [("profile", Run("smoke", 4), "'smoke', 0"), ("", SMOKE, "'quick', 0")],
)
def test_a_chapter_that_does_not_hand_them_on_stops_a_build(
    project, capsys, handed_on, run, got
):
    path = project.write("1_transfer")
    path.write_text(path.read_text().replace("profile, seed", handed_on))
    arguments = ["html", "--profile", run.profile, "--seed", str(run.seed)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert f"expected Chapter('1_transfer', '{run.profile}', {run.seed}) once" in error
    assert f"got Chapter('1_transfer', {got}); write" in error
