"""Networks of one's own: wrapped in one line, layers and classes called by their names."""

import numpy as np
import pytest
import timm
import torch

from dlapps import adversarial, pretrained, saliency


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_network_of_timm_reads_pixels():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)

    module = timm.create_model("resnet10t", num_classes=3)
    network = pretrained.wrap(module, class_names=("tabby", "crane", "fox"), input_size=64)
    maps = saliency.grad_cam(network, pictures, "layer4", targets="fox")
    fooled = adversarial.fool(network, pictures, targets=["tabby", "crane", "fox"], step_size=1.0)

    assert torch.equal(maps, saliency.grad_cam(network, pictures, "backbone.layer4", targets=2))
    assert fooled.goal.classes.tolist() == [0, 1, 2]
    assert fooled.success.all()
    assert not any(weight.requires_grad for weight in module.parameters())
