"""The one loop of every training: epochs, history, monitor, and a checkpoint that its
own training alone takes up.

Then files of weights and of what belongs to them, and their moving average.
"""

import errno
import functools
import hashlib
import io
import math
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from dlapps import DlappsError, check_name, check_positive
from dlapps.core.images import check_levels
from dlapps.core.metrics import as_tensor
from dlapps.core.paths import write_atomically
from dlapps.core.runtime import (
    Bar,
    autocast,
    device_of,
    drawn_from,
    evaluating,
    make_generator,
)

Network = TypeVar("Network", bound=nn.Module)
Augment = Callable[[Tensor, torch.Generator], Tensor]
Monitor = Callable[[nn.Module, int], Mapping[str, float] | None]
Named = Mapping[str, Any]
Measured = dict[str, Any]


class TrainingError(DlappsError, ValueError):
    """A training that cannot go on, or a checkpoint of another one."""


class DivergenceError(TrainingError):
    """A loss or a gradient that is not finite."""


class History(dict[str, list[Any]]):
    """What a training measured, in order, by name: history["loss"], or history.loss."""

    def __getattr__(self, name: str) -> list[Any]:
        check_name("a measurement", name, self, AttributeError)
        return self[name]

    def add(self, measured: Mapping[str, Any]) -> None:
        """Append each value to those of its name; of a list, all."""
        for name, value in measured.items():
            self.setdefault(name, []).extend(
                value if isinstance(value, list) else [value]
            )


def run_epochs(
    train_epoch: Callable[[int], Mapping[str, Any]],
    network: nn.Module,
    parts: Named,
    identity: Named,
    num_epochs: int,
    monitor: Monitor | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Train for a number of epochs; returns the history: what each epoch measured, by
    name.

    train_epoch(epoch) makes the updates and returns what it measured, a value or a list
    by name; monitor(network, epoch) may return more to write down. The network is in
    eval mode when either is called, and afterwards, whatever fails. checkpoint: a file
    written after each epoch; where it is there already, training goes on from it, and
    ends as if it had not been stopped. parts: what changes besides the network: other
    networks, optimisers, schedules (by their state_dict), generators.

    identity: the settings, seed and data that a checkpoint must share, beside the
    networks: their layers as they print, the names, shapes and values of their state.
    Of a function only the name is compared, with what `functools.partial`
    binds: where the code of a function or module changes, or an attribute that a module
    does not print, name another file. Raises TrainingError for a checkpoint of another
    run; DlappsError for a file that is not a checkpoint or cannot be written. Each is
    left as it is.
    """
    parts, history, first = {"network": network, **parts}, History(), 0
    path = Path(checkpoint) if checkpoint else None
    images = [
        data
        for data in identity.values()
        if getattr(data, "dtype", None) == torch.uint8
    ]
    if images:
        check_levels(min(images, key=torch.max))
    if path:
        networks = [part for part in parts.values() if isinstance(part, nn.Module)]
        identity = {name: _describe(value) for name, value in identity.items()}
        identity |= describe_networks(networks)
    if path and path.is_file():
        first, history = _load(path, identity, parts)
    if path and first < num_epochs:
        check_writable(path, "checkpoint")
    epochs = range(first, num_epochs)
    network.eval()
    for epoch in Bar(epochs, "epochs", total=num_epochs, initial=first):
        try:
            measured = dict(train_epoch(epoch))
        finally:
            network.eval()
        with torch.random.fork_rng():
            more = monitor and monitor(network, epoch)
        history.add({**measured, **(more or {})})
        if path:
            made = {"made": epoch + 1, "history": dict(history)}
            write_checked(
                path, {"identity": identity, **made, "states": _states(parts)}
            )
    return history


def seeded(
    train_epoch: Callable[[int, torch.Generator], Measured], seed: int
) -> Callable[[int], Measured]:
    """train_epoch(epoch, generator) whose draws, those of dropout too, depend on the
    seed and the epoch alone.
    """

    def train_seeded(epoch: int) -> Measured:
        # Dropout draws from the default generator.
        with drawn_from(seed * 1_000_003 + epoch):
            return train_epoch(epoch, make_generator(seed * 1_000_003 + epoch))

    return train_seeded


def as_labels(labels: ArrayLike, number: int, num_classes: int | None = None) -> Tensor:
    """Labels of `number` examples, a list, an array or a tensor of whole numbers, as
    int64 (N,) on the CPU.

    Raises ValueError for another number or type, and for one that is not in [0,
    num_classes).
    """
    found = as_tensor(labels).cpu()
    if found.shape != (number,) or not number:
        got = f"{len(found) if found.ndim == 1 else tuple(found.shape)} and {number}"
        raise ValueError(
            f"expected as many labels as inputs, got {got}; check the selection."
        )
    if found.is_floating_point() or found.dtype == torch.bool:
        raise ValueError(
            f"expected whole numbers as labels, got {found.dtype}; pass numbers of classes."
        )
    if num_classes and not (found.amin() >= 0 and found.amax() < num_classes):
        got = f"{int(found.amin())} to {int(found.amax())}"
        remedy = "number the classes from 0, or make the networks of more classes"
        raise ValueError(
            f"expected labels from 0 to {num_classes - 1}, got {got}; {remedy}."
        )
    return found.long()


@torch.no_grad()
def predict(
    network: nn.Module,
    *inputs: Tensor,
    batch_size: int,
    precision: str = "fast",
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """What a network gives in eval mode, which is left as it was, batch by batch:
    float32 (N, …) on the CPU.

    inputs: tensors (N, …), its arguments. prepare: what makes a batch, on the network's
    device, its argument.
    """
    device, outputs = device_of(network), []
    with autocast(device, precision), evaluating(network):
        for batches in Bar(
            [*zip(*(part.split(batch_size) for part in inputs), strict=True)]
        ):
            arguments = [batch.to(device) for batch in batches]
            outputs.append(
                network(*(map(prepare, arguments) if prepare else arguments))
                .float()
                .cpu()
            )
    return torch.cat(outputs)


def accuracy(logits: Tensor, labels: ArrayLike) -> float:
    """Share of logits (N, K) whose highest is their label's; labels (N,) as `as_labels`
    takes them.
    """
    return float((logits.argmax(1) == as_labels(labels, *logits.shape)).double().mean())


def minimise(
    loss: Tensor, optimiser: torch.optim.Optimizer, max_norm: float = math.inf
) -> None:
    """One step down a loss (a scalar), the gradient of all weights shortened to the
    length max_norm.

    Raises DivergenceError for a loss that is NaN or infinite.
    """
    if not loss.isfinite():
        raise DivergenceError(
            f"expected a finite loss, got {loss.item()}; lower the learning rate."
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if math.isfinite(max_norm):
        weights = [
            weight for group in optimiser.param_groups for weight in group["params"]
        ]
        nn.utils.clip_grad_norm_(weights, max_norm)
    optimiser.step()


def make_one_cycle(
    learning_rates: Mapping[nn.Module, float], weight_decay: float, num_steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW on parts of a network, each with its highest rate, and the schedule that
    lets it rise for a fifth of the steps and fall in the others (Smith and Topin 2019).
    """
    parts, rates = list(learning_rates), list(learning_rates.values())
    check_positive(learning_rate=min(rates, default=1))
    groups = [{"params": [*part.parameters()]} for part in parts]
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
    # Of five steps a fifth is one, and the schedule would divide by the number of steps
    # less one.
    return optimiser, OneCycleLR(
        optimiser, rates, num_steps, pct_start=0.2 if num_steps != 5 else 0.4
    )


def _describe(value: Any) -> str:
    """Data by their hash, a function by its name and what `partial` binds, settings as
    they print.
    """
    if isinstance(value, Tensor):
        return fingerprint(value)
    if isinstance(value, functools.partial):
        bound = *value.args, *value.keywords, *value.keywords.values()
        return " ".join(map(_describe, (value.func, *bound)))
    if callable(value) and not is_dataclass(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__}"
    return repr(value)


def _states(parts: Named) -> dict[str, Any]:
    return {
        name: part.get_state()
        if isinstance(part, torch.Generator)
        else part.state_dict()
        for name, part in parts.items()
    }


def _load(path: Path, identity: Named, parts: Named) -> tuple[int, History]:
    """How many epochs are made, and their history; the parts get their states."""
    content = read_checked(
        path, "checkpoint", ("identity", "made", "history", "states")
    )
    written = content["identity"]
    differing = [
        name for name in written | identity if written.get(name) != identity.get(name)
    ]
    if differing:
        got = f"one that differs in {', '.join(differing)}; delete it, or name another file"
        raise TrainingError(f"expected a checkpoint of this run in {path}, got {got}.")
    for name, part in parts.items():
        state = content["states"][name]
        if isinstance(part, torch.Generator):
            part.set_state(state)
        elif isinstance(part, LRScheduler):
            part.load_state_dict(
                {"last_epoch": state["last_epoch"]}
            )  # the rest follows from its settings
        else:
            part.load_state_dict(state)
    return content["made"], History(content["history"])


def save_weights(network: nn.Module, path: str | Path) -> Path:
    """Write a network's weights and statistics, rounded to float16; returns the path."""
    return write_checked(path, to_float16(network))


def load_weights(network: Network, path: str | Path) -> Network:
    """Read what `save_weights` wrote into a network of the same layers; returns the
    network, in eval mode.

    Raises DlappsError for a file without weights, or that has the weights of other
    layers.
    """
    state = read_checked(path, "file of these layers' weights", network.state_dict())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DlappsError(
            f"expected these layers' weights in {path}, got others; name another file."
        ) from error
    return network.eval()


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network, its floats rounded to float16: about two bytes a weight."""
    state = network.state_dict().items()
    return {
        name: part.half() if part.is_floating_point() else part for name, part in state
    }


def write_checked(path: str | Path, content: Mapping[str, object]) -> Path:
    """Write tensors and plain values, once `torch.load` has taken them with
    weights_only; returns the path.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True, map_location="cpu")
    return write_atomically(path, buffer.getvalue())


def check_writable(path: str | Path, kind: str) -> None:
    """Raise DlappsError, before what takes long, for a file that cannot be written: a
    folder, or in a read-only one.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        wanted, got = f"a {kind} that can be written", f"{path} ({error.strerror})"
        raise DlappsError(
            f"expected {wanted}, got {got}; name another file."
        ) from error


def read_checked(path: str | Path, kind: str, names: Collection[str]) -> dict[str, Any]:
    """A dictionary that `write_checked` wrote, with these names; DlappsError for
    another file, which is left as it is.

    kind: what the file should be, for the error.
    """
    wanted, remedy = f"a {kind} in {path}", "delete it, or name another one"
    if not Path(path).is_file():
        raise DlappsError(f"expected {wanted}, got no such file; check the path.")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    # A truncated archive, a pickle with code in it, a text file: torch raises a
    # different kind for each.
    except Exception as error:
        raise DlappsError(
            f"expected {wanted}, got a file that does not load; {remedy}."
        ) from error
    if not isinstance(content, dict) or content.keys() != set(names):
        raise DlappsError(f"expected {wanted}, got a file of another form; {remedy}.")
    return content


def fingerprint(*parts: Tensor | str) -> str:
    """16 hexadecimal digits that change with texts, or with the types, shapes or values
    of tensors (SHA-256).
    """
    sha256 = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha256.update(f"{part} ".encode())
        else:
            sha256.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            sha256.update(
                part.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
    return sha256.hexdigest()[:16]


def describe_networks(networks: Iterable[nn.Module]) -> dict[str, str]:
    """What a checkpoint compares of networks: "network", their layers as they print and
    the names and shapes of their state; and "weights", a fingerprint of its values. The
    code of the layers is not seen, nor attributes that they do not print.
    """
    layers, state = list[tuple](), list[tuple[str, Tensor]]()
    for network in networks:
        for name, part in network.named_modules():
            layers.append((name, type(part).__qualname__, part.extra_repr()))
        state += network.state_dict().items()
    layout = [(name, tuple(value.shape)) for name, value in state]
    return {
        "network": f"{layers} {layout}",
        "weights": fingerprint(*(value for _, value in state)),
    }


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) network, parameters and statistics alike."""
    for old, new in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if old.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)
