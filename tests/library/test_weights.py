"""Files of networks: settings and weights in half precision, and nothing else."""

import dataclasses

import pytest
import torch
from torch import nn

from dlapps import DlappsError
from dlapps.core.weights import (
    load_network,
    load_weights,
    save_network,
    save_weights,
    write_checked,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    width: int = 2

    def __post_init__(self):
        if self.width < 1:
            raise ValueError("expected width >= 1")


@dataclasses.dataclass(frozen=True)
class Trial(Settings):
    rate: float = 0.1


class Line(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.line = nn.Linear(settings.width, 1)


def load(path):
    return load_network(path, "line", Settings, Line)


@pytest.mark.parametrize("settings", [Settings(3), Trial(3, rate=0.5)])
def test_a_network_comes_back_by_its_settings_frozen_and_in_eval_mode(
    settings, tmp_path
):
    network = Line(settings)
    loaded = load(save_network(network, tmp_path / "line.pt", "line"))
    assert loaded.settings == Settings(3)
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    for name, weight in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float())


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({"settings": {"width": 2}}, "a file of another form; delete"),
        ({"settings": {"width": 2}, "other": {}}, "a file of another form; delete"),
        ({"settings": {}, "line": {}}, r"others \(KeyError\('width'\)\); name another"),
        ({"settings": None, "line": {}}, r"others \(TypeError"),
        ({"settings": {"width": 0}, "line": {}}, r"others \(ValueError"),
        ({"settings": {"width": 3}, "line": {}}, "others; name another file"),
        ({"settings": {"width": 3}, "line": 7}, "others; name another file"),
    ],
)
def test_a_file_of_another_network_is_one_sentence(content, got, tmp_path):
    path = write_checked(tmp_path / "line.pt", content)
    with pytest.raises(DlappsError, match=rf"^expected .* in .*line\.pt, got {got}"):
        load(path)


def test_a_value_that_float16_cannot_hold_is_named_and_not_stored(tmp_path):
    norm = nn.BatchNorm1d(2)
    path = save_weights(norm, tmp_path / "norm.pt")
    before = path.read_bytes()
    norm.running_var[1] = 70_000
    with pytest.raises(ValueError, match=r"up to 65,504, got 70,000 in running_var"):
        save_weights(norm, path)
    assert path.read_bytes() == before
    # What has diverged already is stored as it is.
    norm.running_var[1] = torch.inf
    assert (
        load_weights(nn.BatchNorm1d(2), save_weights(norm, path)).running_var[1] > 1e9
    )
