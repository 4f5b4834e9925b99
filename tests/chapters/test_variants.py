"""Chapters under other settings: none takes what another was given."""

import pytest
from conftest import code, text

from studies.variants import Variant, build, choose_variables


@pytest.mark.report
def test_a_variant_in_which_a_sentence_fails_is_told(project, capfd):
    said = "Found {{seed}}. It is none. <!-- holds: seed == 0 -->"
    project.write("1_seeds", code("found = seed"), text(said))
    assert build("first", Variant())
    assert not build("second", Variant(4, {"LABREPORT_THREADS": "2"}))
    assert "It is none." in capfd.readouterr().out


def test_fetched_data_are_shared_by_variants_of_the_same_data_alone(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DLAPPS_DATA", "mirror")
    one = choose_variables(Variant(), tmp_path / "one")
    two = choose_variables(Variant(1), tmp_path / "two")
    mirror = choose_variables(Variant(mirror=True), tmp_path / "mirror")
    assert one["DLAPPS_HOME"] == two["DLAPPS_HOME"] != mirror["DLAPPS_HOME"]
    assert "DLAPPS_DATA" not in one
    assert one["LABREPORT_HOME"] != two["LABREPORT_HOME"]
    monkeypatch.delenv("DLAPPS_DATA")
    with pytest.raises(SystemExit, match="expected the mirror's folder"):
        choose_variables(Variant(mirror=True), tmp_path)
