"""The machine: precision, random generators, a bar for what takes long."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import current_process
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from tqdm import tqdm

from dlapps import check_name
from dlapps.core import environment

Network = TypeVar("Network", bound=nn.Module)


def number_format(device: torch.device | str, precision: str = "fast") -> str:
    """In which convolutions and products run under `autocast`: "float32" or "bfloat16".

    precision: "float32" and "bfloat16" force one; "fast" is what `DLAPPS_PRECISION`
    says, without it bfloat16 where the device multiplies such matrices in hardware
    (elsewhere it is the slower one), else float32.
    """
    check_name("precision", precision, ("fast", *environment.FORMATS))
    if precision != "fast":
        return precision
    if torch.device(device).type == "cuda" and "DLAPPS_PRECISION" not in os.environ:
        return (
            "bfloat16"
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else "float32"
        )
    return environment.number_format()


def autocast(
    device: torch.device | str, precision: str = "fast"
) -> contextlib.AbstractContextManager:
    """The context in which convolutions and products run in their `number_format`."""
    enabled = number_format(device, precision) == "bfloat16"
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=enabled
    )


@contextlib.contextmanager
def first_in_float32(network: nn.Module) -> Iterator[None]:
    """Within, `autocast` leaves out the first convolutions of a network with depthwise
    ones.

    They add few products, so they gain little from bfloat16, and all that follows is
    built on their rounding: averaged features of EfficientNet-Lite0 have a cosine of
    .9996 to those of float32, and .996 without this.
    """
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    first = [
        part
        for part in layers
        if part.weight[0].numel() < 32 and part.out_channels < 200
    ]
    if not any(part.groups > 1 for part in first):
        first = []
    try:
        for part in first:
            part.forward = functools.partial(_forward_in_float32, part)  # type: ignore[method-assign]
        yield
    finally:
        for part in first:
            del part.forward


def _forward_in_float32(convolution: nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    with torch.autocast(maps.device.type, enabled=False):
        return type(convolution).forward(convolution, maps.float())


def channels_last(network: Network) -> Network:
    """The network itself, its weights in the memory format in which convolutions on a
    CPU are fastest.
    """
    # torch's own types leave this keyword out.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_generator(seed: int) -> torch.Generator:
    """A generator of its own, so that no draw depends on what ran before; on the CPU:
    the same whatever the device.
    """
    return torch.Generator("cpu").manual_seed(seed)


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Within, PyTorch's own generators start at the seed; afterwards they go on where
    they were.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights lie; the CPU for one without."""
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, the network is in eval mode; afterwards each of its modules in the mode
    that it was in.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def run_once(network: nn.Module, *inputs: torch.Tensor, name: str) -> torch.Tensor:
    """What a network gives in eval mode; ValueError that calls it by this name where it
    fails on the inputs.
    """
    try:
        with evaluating(network):
            return network(*(part.to(device_of(network)) for part in inputs))
    except (RuntimeError, TypeError) as error:
        sizes = ", ".join(f"{tuple(part.shape)}" for part in inputs)
        raise ValueError(
            f"expected {name} for inputs {sizes}, got one that fails on them ({error}); change it."
        ) from error


def check_last_batch(
    network: nn.Module,
    step: Callable[[], object],
    number: int,
    batch_size: int,
    parts: Iterable[nn.Module] | None = None,
) -> None:
    """Raise ValueError where the last batch would have one example, and batch norm
    needs two: PyTorch's own error would come at the end of an epoch.

    step: passes one example through the network, of which these parts, or all, are in
    training mode; afterwards it is in eval mode, its statistics as they were.
    """
    if 1 not in (batch_size, number % batch_size):
        return
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.no_grad(), drawn_from(0):
        try:
            for part in [network] if parts is None else parts:
                part.train()
            step()
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            wanted = "at least 2 examples in each batch, for batch norm"
            got = f"{number} in batches of batch_size = {batch_size}"
            raise ValueError(
                f"expected {wanted}, got {got}; take another batch_size."
            ) from error
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
            network.eval()


class Bar(tqdm):
    """tqdm's bar, seen after five seconds (delay=5) and gone at the end: `for batch in
    Bar(batches)`.

    In a notebook the bars that run at once are the lines of one output, plain text,
    which is empty at the end: no widget, which a saved notebook could not show, and
    nothing on stderr. In the processes of a sweep there is none.
    """

    shown: ClassVar[tuple[int, Any, dict[int, str]]] = (
        0,
        None,
        {},
    )  # a cell, its output, its bars

    def __init__(self, iterable: Any, desc: str = "batches", **options: Any) -> None:
        if current_process().name != "MainProcess":
            options["disable"] = True
        super().__init__(iterable, desc, leave=False, **{"delay": 5} | options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show the bar as it stands, or what tqdm says in its place: at the end,
        nothing.
        """
        shell: Any = (
            sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        )
        if not hasattr(shell, "kernel"):
            return super().display(msg, pos)
        from IPython.display import DisplayHandle

        if msg != "" and Bar.shown[0] != shell.execution_count:
            Bar.shown = shell.execution_count, DisplayHandle(), {}
            Bar.shown[1].display({}, raw=True)
        _, output, lines = Bar.shown
        lines[abs(self.pos if pos is None else pos)] = str(self) if msg is None else msg
        text = "\n".join(lines[place] for place in sorted(lines) if lines[place])
        output.update({"text/plain": text} if text else {}, raw=True)
        return False  # nothing for tqdm to erase
