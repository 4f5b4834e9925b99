"""The machine: its devices, random generators and progress bars."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import nn

from dlapps.core.checks import as_seed

with warnings.catch_warnings():
    # In a notebook it warns, in red, where ipywidgets is not installed.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

Item = TypeVar("Item")
Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Store a network's weights channels last, and return it.

    Convolutions are fastest on a CPU in this memory format.
    """
    # torch's own types leave this keyword out.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_generator(seed: int) -> torch.Generator:
    """Make a random generator on the CPU.

    Its numbers depend on the seed alone, and are the same for every device.
    """
    return torch.Generator("cpu").manual_seed(as_seed(seed))


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Seed PyTorch's default generators, within the context.

    Their earlier state is restored at the end.
    """
    with torch.random.fork_rng():
        torch.manual_seed(as_seed(seed))
        yield


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights; the CPU if it has none."""
    for weight in network.parameters():
        return weight.device
    return torch.device("cpu")


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, within the context.

    The earlier mode of each of its modules is restored at the end.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def progress(iterable: Iterable[Item], desc: str = "batches") -> Iterable[Item]:
    """Return what shows a bar, after five seconds and until the end, as it is iterated.

    The variable TQDM_DISABLE=1 switches all bars off.
    """
    return tqdm(iterable, desc, leave=False, delay=5)
