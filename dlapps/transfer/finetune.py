"""Training a classifier: a new last layer, with or without gradients to the rest, or a small network from nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from dlapps.runtime import autocast, make_generator

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass
class History:
    """What `fit_classifier` measured in each epoch, on the batches as they came."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


class NewHead(nn.Module):
    """A new last layer on feature maps: average over positions, L2-normalise, scale, one score a class.

    Feature maps (N, C, H, W) or vectors (N, C) in, logits (N, K) out. Normalised as the features of a linear SVM are,
    so that learning rates do not depend on the network; the scale lets the softmax become certain.
    """

    def __init__(self, num_features: int, num_classes: int, seed: int, scale: float = 10) -> None:
        super().__init__()
        self.linear, self.scale = nn.Linear(num_features, num_classes), scale
        nn.init.normal_(self.linear.weight, std=0.01, generator=make_generator(seed))
        nn.init.zeros_(self.linear.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, K) of feature maps (N, C, H, W) or vectors (N, C)."""
        vectors = maps.float().mean((2, 3)) if maps.ndim == 4 else maps
        return self.linear(F.normalize(vectors, dim=1) * self.scale)


class SmallVGG(nn.Module):
    """VGG's design at a size that 1,500 pictures may train: six 3 × 3 convolutions, batch norm, four poolings.

    Grey or colour pixels (N, channels, H, W) in [0, 1] in, logits (N, K) out; 0.3 M parameters.
    """

    def __init__(self, num_classes: int, channels: int = 1, widths: Sequence[int] = (32, 32, 64, 64, 128, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            if index in (1, 3, 4, 5):
                layers.append(nn.MaxPool2d(2))
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(channels, num_classes))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, K) of pixels (N, channels, H, W) in [0, 1]."""
        return self.head(self.features((pixels - 0.5) / 0.25).mean((2, 3)))


def split_at(network: nn.Sequential, layer: str) -> tuple[nn.Sequential, nn.Sequential]:
    """The part before the layer of that name, to be run once, and the rest; both share the network's layers.

    Raises ValueError that lists the layers for an unknown one.
    """
    names = [name for name, _ in network.named_children()]
    if layer not in names:
        raise ValueError(f"expected a layer among {', '.join(names)}, got {layer!r}; choose one of them.")
    # A slice of a Sequential is one; torch's types say Module.
    return network[: names.index(layer)], network[names.index(layer) :]  # type: ignore[return-value]


def flip_and_shift(shift: int) -> Augmentation:
    """Mirror each picture with probability 1/2 and move the batch by up to `shift` pixels, borders reflected."""

    def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
        mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
        pixels = torch.where(mirrored, pixels.flip(3), pixels)
        top, left = torch.randint(0, 2 * shift + 1, (2,), generator=generator).tolist()
        padded = F.pad(pixels, (shift,) * 4, mode="reflect")
        return padded[:, :, top : top + pixels.shape[2], left : left + pixels.shape[3]]

    return augment


def flip(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror the whole batch with probability 1/2: feature maps of mirrored pictures are mirrored maps, nearly."""
    return maps.flip(3) if torch.rand((), generator=generator) < 0.5 else maps


def fit_classifier(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    num_epochs: int,
    learning_rates: dict[nn.Module, float],
    weight_decay: float = 1e-2,
    label_smoothing: float = 0.0,
    batch_size: int = 50,
    seed: int = 0,
    augment: Augmentation | None = None,
    precision: str = "fast",
    progress: bool = False,
) -> History:
    """Train parts of a classifier by cross-entropy (AdamW, one cycle of the learning rate); returns its history.

    inputs: (N, …), what the network takes; labels: int64 (N,) in [0, K). learning_rates: the parts to train, each with
    its highest rate. They train in training mode, or in that which their own `train()` sets; the others are in eval
    mode, their statistics stay and they gather no gradient. Whatever fails, the network is left in eval mode, and each
    parameter's requires_grad as it was. Raises ValueError when sizes differ, parts share weights or are none of the
    network's, or a loss is not finite.
    """
    if len(inputs) != len(labels) or not len(labels):
        raise ValueError(
            f"expected as many labels as inputs, got {len(labels)} and {len(inputs)}; check the selection."
        )
    _check_parts(network, learning_rates)
    generator, history, num_batches = make_generator(seed), History(), -(-len(labels) // batch_size)
    optimiser, schedule = _make_optimiser(learning_rates, weight_decay, num_epochs * num_batches)
    with _training(network, learning_rates):
        for _ in tqdm(range(num_epochs), desc="epochs", disable=not progress):
            total, correct = 0.0, 0
            for batch in torch.randperm(len(labels), generator=generator).split(batch_size):
                pixels = augment(inputs[batch], generator) if augment else inputs[batch]
                loss, right = _train_step(network, pixels, labels[batch], optimiser, label_smoothing, precision)
                schedule.step()
                total, correct = total + loss * len(batch), correct + right
            history.loss.append(total / len(labels))
            history.accuracy.append(correct / len(labels))
    return history


def _check_parts(network: nn.Module, parts: Iterable[nn.Module]) -> None:
    trained = [id(parameter) for part in parts for parameter in part.parameters()]
    if len(set(trained)) < len(trained) or not set(trained) <= {id(parameter) for parameter in network.parameters()}:
        raise ValueError(
            "expected parts of the network that share no weights, got some that overlap or are none of it; name each "
            "layer once."
        )


@contextlib.contextmanager
def _training(network: nn.Module, parts: Iterable[nn.Module]) -> Iterator[None]:
    """Within, these parts are in training mode and ask for gradients, and the rest of the network does not."""
    before = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval().requires_grad_(False)
        for part in parts:
            part.train()
            part.requires_grad_()
        yield
    finally:
        network.eval()
        for parameter, required in before:
            parameter.requires_grad_(required)


def _make_optimiser(
    learning_rates: dict[nn.Module, float], weight_decay: float, num_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [{"params": list(part.parameters()), "lr": rate} for part, rate in learning_rates.items()]
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
    rates = list(learning_rates.values())
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=num_steps, pct_start=0.2)


def _train_step(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    optimiser: torch.optim.Optimizer,
    smoothing: float,
    precision: str,
) -> tuple[float, int]:
    device = next(network.parameters()).device
    inputs, labels = inputs.to(device), labels.to(device)
    if inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with autocast(device, precision):
        logits = network(inputs)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
    if not loss.isfinite():
        raise ValueError(f"expected a finite loss, got {loss.item()}; lower the learning rates or check the inputs.")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item(), int((logits.argmax(1) == labels).sum())


@torch.inference_mode()
def predict(network: nn.Module, inputs: Tensor, batch_size: int = 64, precision: str = "fast") -> Tensor:
    """Logits (N, K) float32 of a network in eval mode, batch by batch."""
    device = next(network.parameters()).device
    with autocast(device, precision):
        return torch.cat([network(batch.to(device)).float().cpu() for batch in inputs.split(batch_size)])


def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of the inputs (N, …) whose highest score is their label's."""
    return float((predict(network, inputs).argmax(1) == labels).float().mean())
