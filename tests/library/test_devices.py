"""Chapter 2's methods follow the images to another device, and give the same there."""

from dataclasses import fields, is_dataclass

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from dlapps import adversarial, saliency
from dlapps import class_visualization as cv

torch.set_num_threads(1)


def on(method, *args, **options):
    """The method on a network and images."""
    return lambda network, images: method(network, images, *args, **options)


def draw(recipe):
    """Two classes in three steps."""
    return lambda network, images: cv.visualize(
        network, [0, 1], recipe, num_steps=3, size=16
    )


METHODS = {
    "input gradient": on(saliency.input_gradient, 1),
    "smooth grad": on(saliency.smooth_grad, num_samples=3),
    "integrated gradients": on(saliency.integrated_gradients, [0, 1, 2]),
    "grad cam": on(saliency.grad_cam, "2", [0, 1, 2]),
    "guided backprop": on(saliency.guided_backprop, 1),
    "fool": on(adversarial.fool, 1, num_steps=3),
    "fgsm": on(adversarial.fgsm, 0.1),
    "pgd": on(adversarial.pgd, 0.1, num_steps=2),
    "practical": draw(cv.PRACTICAL),
    "modern": draw(cv.MODERN),
    "from pictures": lambda network, images: cv.visualize(
        network, 1, cv.MODERN, initial=images, num_steps=2
    ),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 8, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )
        return network.eval()


@pytest.fixture
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def find_tensors(result):
    """The tensors of a result, wherever they are in it, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    parts = []
    if is_dataclass(result):
        parts = [getattr(result, field.name) for field in fields(result)]
    elif isinstance(result, dict):
        parts = result.values()
    elif isinstance(result, (list, tuple)):
        parts = result
    tensors = []
    for part in parts:
        tensors.extend(find_tensors(part))
    return tensors


class Elsewhere(TorchFunctionMode):
    """A device that any machine has: marked tensors say that they are on DEVICE, and
    refuse to meet others there.

    Parameters are always on it. PyTorch computes everything on the CPU.
    """

    DEVICE = torch.device("cuda", 0)
    FACTORIES = (
        torch.zeros, torch.ones, torch.full, torch.empty, torch.eye, torch.tensor,
        torch.as_tensor, torch.arange, torch.linspace, torch.rand, torch.randn,
        torch.randint, torch.randperm, torch.fft.fftfreq, torch.fft.rfftfreq,
        torch.zeros_like, torch.ones_like, torch.full_like, torch.empty_like,
        torch.rand_like, torch.randn_like,
    )  # fmt: skip
    MOVES = (torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.copy_)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        here = any(self.holds(tensor) for tensor in tensors)
        if func == torch.Tensor.device.__get__ and here:
            return self.DEVICE
        if func is torch.Tensor.numpy and here:
            raise TypeError("can't convert a tensor from elsewhere to NumPy")
        all_here = all(self.holds(tensor) for tensor in tensors if tensor.ndim)
        if here and not all_here and func not in self.MOVES:
            raise RuntimeError(f"{func.__name__}: tensors on two devices")
        if func in self.FACTORIES:
            follows = here and func.__name__.endswith("_like")
            if not follows and kwargs.get("device") is None:
                raise RuntimeError(f"{func.__name__}: no device is named")
            here = torch.device(kwargs.pop("device", self.DEVICE)) == self.DEVICE
        elif func is torch.Tensor.cpu:
            here = False
        elif func is torch.Tensor.to and isinstance(args[1], (str, torch.device)):
            here = torch.device(args[1]) == self.DEVICE
            args = (args[0], args[0].dtype)
        result = func(*args, **kwargs)
        if func is torch.Tensor.__iter__:
            return iter([self.mark(part, here) for part in result])
        return tree_map(lambda part: self.mark(part, here), result)

    def holds(self, tensor):
        return isinstance(tensor, nn.Parameter) or getattr(
            tensor, "is_elsewhere", False
        )

    def mark(self, value, here):
        if isinstance(value, torch.Tensor) and self.holds(value) != here:
            # What is moved by PyTorch to where it is already is the same object.
            value = value.view_as(value)
            value.is_elsewhere = here
        return value


@each_method
@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")
def test_methods_follow_the_images_to_another_device(method, network, images):
    expected = find_tensors(method(network, images))
    with Elsewhere() as device:
        found = find_tensors(method(network, images.to(device.DEVICE)))
        assert all(device.holds(tensor) for tensor in found)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@each_method
def test_cuda_gives_what_the_cpu_gives(method, network, images):
    expected = find_tensors(method(network, images))
    with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
        found = find_tensors(method(network.to("cuda"), images.to("cuda")))
    for one, other in zip(expected, found, strict=True):
        assert other.device.type == "cuda"
        # A gradient that is nearly 0 may have another sign there.
        same = torch.isclose(
            one.double(), other.cpu().double(), rtol=1e-3, atol=1e-3, equal_nan=True
        )
        assert same.double().mean() > 0.99
