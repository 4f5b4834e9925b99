"""What Chapter 3's trainings need beside the library: grounds of digits, readings by
several views, and a score. Pixels are (N, C, H, W) float32 in [0, 1].
"""

import torch
import torch.nn.functional as F
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from dlapps.core.runtime import make_generator
from dlapps.dann.pictures import random_affine, random_strokes


class Shifted(nn.Module):
    """Mean probabilities of a network over a picture and its four shifts by a pixel.

    Called with pixels (N, C, H, W), it gives their logarithms (N, K). What a shift
    uncovers repeats the border.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Log-probabilities (N, K)."""
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
        probabilities = []
        for top, left in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
            view = padded[:, :, top : top + height, left : left + width]
            probabilities.append(self.network(view).float().softmax(1))
        return torch.stack(probabilities).mean(0).log()


def draw_grounds(number: int, contrast: float, generator: torch.Generator) -> Tensor:
    """Random colours with white noise: (number, 3, 28, 28) float32 in [0, 1].

    The colours are drawn as those of `dann.random_textures`. The noise of a ground has
    a random deviation up to `contrast`: 0 gives flat colours, .32 the contrasts of
    `dann.random_textures`, but without smoothness and borders.
    """
    grey = 0.15 + 0.7 * torch.rand(number, 1, 1, 1, generator=generator)
    tint = 0.4 * torch.rand(number, 3, 1, 1, generator=generator) - 0.2
    deviation = contrast * torch.rand(number, 1, 1, 1, generator=generator)
    shared = torch.randn(number, 1, 28, 28, generator=generator)
    own = torch.randn(number, 3, 28, 28, generator=generator)
    noise = 0.9 * shared + 0.4 * own
    return (grey + tint + deviation * noise).clamp(0, 1)


def lay_on_grounds(
    pixels: Tensor, generator: torch.Generator, contrast: float
) -> Tensor:
    """`augment_source` without negatives, on `draw_grounds` in place of textures.

    pixels: grey digits (N, 3, 28, 28). Three in four are laid on a ground, with strokes
    of another; the rest stay on black.
    """
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    below = draw_grounds(len(digits), contrast, generator)
    above = draw_grounds(len(digits), contrast, generator)
    laid = below.lerp(above, digits)
    chosen = torch.rand(len(digits), 1, 1, 1, generator=generator) < 0.75
    return torch.where(chosen, laid, digits)


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2 error) of a linear SVM that classifies features (N, D) by domain.

    The error is that of 5-fold cross-validation (Ben-David et al. 2007). 2: it makes no
    error; 0: it guesses. More features make it easier.
    """
    features = torch.cat([source, target])
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    order = torch.randperm(len(features), generator=make_generator(0))
    domains = (order >= len(source)).long()
    # Both domains count alike, whatever their sizes: else an SVM that always answers
    # the larger would often be right.
    svm = LinearSVC(C=1e-3, class_weight="balanced", random_state=0)
    accuracies = cross_val_score(
        svm, features[order].numpy(), domains.numpy(), scoring="balanced_accuracy"
    )
    error = 1 - accuracies.mean()
    return float(2 * (1 - 2 * error))
