"""The library's own command: what is at hand."""

from dlapps.cli import main
from dlapps.core import assets


def test_data_lists_fetches_and_says_what_cannot_be_had(monkeypatch, capsys):
    fields = ["", "file", "0", 2_500_000, "MIT", "mirrored", "package==1"]
    weights = assets.Asset("weights", *fields)
    monkeypatch.setattr(assets, "registry", lambda: {"weights": weights})

    def fail(name):
        raise assets.AssetError(f"expected {name} from a source, got none; connect.")

    monkeypatch.setattr(assets, "fetch", fail)
    assert main(["data"]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    expected = "weights 2.5 MB absent MIT; package==1"
    assert " ".join(line.split()) == expected
    assert main(["data", "fetch"]) == 1
    complaint = "dlapps: expected weights from a source, got none; connect.\n"
    assert capsys.readouterr().err == complaint


def test_a_mirror_that_is_no_folder_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setenv("DLAPPS_DATA", "/no/such/folder")
    assert main(["data"]) == 2
    complaint = (
        "expected a folder in DLAPPS_DATA, got /no/such/folder; correct it or unset it."
    )
    assert capsys.readouterr().err == f"dlapps: {complaint}\n"
