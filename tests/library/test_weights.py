"""Files of networks: settings and weights in half precision, and nothing else."""

import dataclasses

import pytest
import torch
from torch import nn

from dlapps.core.weights import load_network
from studies.weights import save_network


@dataclasses.dataclass(frozen=True)
class Settings:
    width: int = 2


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
    settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    network = Line(settings)
    loaded = load(save_network(network, "line.pt", "line"))
    assert loaded.settings == Settings(3)
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    for name, weight in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float())
