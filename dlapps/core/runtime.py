"""The machine: its devices, random generators and progress bars."""

import contextlib
import operator
import sys
from collections.abc import Iterator
from multiprocessing import current_process
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from tqdm import tqdm

Network = TypeVar("Network", bound=nn.Module)


def as_device(device: torch.device | str) -> torch.device:
    """Return a device; raise ValueError if this machine does not have it."""
    try:
        return torch.empty(0, device=device).device
    # PyTorch without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"expected a device of this machine, got {str(device)!r}; pass 'cpu', or "
            "install a PyTorch that supports it."
        ) from error


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
    # PyTorch takes no NumPy integer as a seed.
    return torch.Generator("cpu").manual_seed(operator.index(seed))


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Seed PyTorch's default generators, within the context.

    Their earlier state is restored at the end.
    """
    with torch.random.fork_rng():
        torch.manual_seed(operator.index(seed))
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


@torch.no_grad()
def run_once(network: nn.Module, *inputs: torch.Tensor, name: str) -> torch.Tensor:
    """Return the output of a network in eval mode, without gradients.

    Raises ValueError if the network fails on the inputs. name: the network in the
    error's message.
    """
    arguments = [part.to(device_of(network)) for part in inputs]
    try:
        with evaluating(network):
            return network(*arguments)
    except (RuntimeError, TypeError) as error:
        sizes = ", ".join(str(tuple(part.shape)) for part in inputs)
        raise ValueError(
            f"expected {name} for inputs {sizes}, got one that fails on them "
            f"({error}); pass inputs of its size, or change its layers."
        ) from error


class Bar(tqdm):
    """tqdm's bar, shown after five seconds and erased at the end.

    Use it as `for batch in Bar(batches)`. In a notebook all running bars are lines of
    plain text in one output, which is empty at the end; a widget would leave an empty
    frame in the saved notebook. The worker processes of a sweep show no bar.
    """

    # Of the last cell that showed bars.
    output: ClassVar["_CellOutput | None"] = None

    def __init__(self, iterable: Any, desc: str = "batches", **options: Any) -> None:
        options.setdefault("delay", 5)
        if current_process().name != "MainProcess":
            options["disable"] = True
        super().__init__(iterable, desc, leave=False, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show the bar, or a text of tqdm's in its place: at the end, an empty one."""
        shell = _notebook_shell()
        if shell is None:
            return super().display(msg, pos)
        line = str(self) if msg is None else msg
        position = abs(self.pos if pos is None else pos)
        is_new_cell = Bar.output is None or Bar.output.cell != shell.execution_count
        if line and is_new_cell:
            Bar.output = _CellOutput(shell.execution_count)
        if Bar.output is not None:
            Bar.output.show(position, line)
        return False  # tqdm has nothing to erase.


class _CellOutput:
    """The output of a notebook's cell that has a line for each bar."""

    def __init__(self, cell: int) -> None:
        from IPython.display import DisplayHandle

        self.cell = cell
        self.lines: dict[int, str] = {}
        self.handle = DisplayHandle()
        self.handle.display({}, raw=True)

    def show(self, position: int, line: str) -> None:
        """Show a line at a position; an empty one takes the line there away."""
        self.lines[position] = line
        lines = [line for _, line in sorted(self.lines.items()) if line]
        data = {"text/plain": "\n".join(lines)} if lines else {}
        self.handle.update(data, raw=True)


def _notebook_shell() -> Any:
    """Return IPython's shell if it runs a notebook, else None."""
    if "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    return shell if hasattr(shell, "kernel") else None
