"""The judge of a drawn picture: a network that had no part in the drawing."""

from torch import Tensor, nn

from dlapps.class_visualization.ascent import Visualization
from dlapps.core.class_scores import check_eval_mode, float32_logits, ranks


def judge(network: nn.Module, drawn: Visualization) -> Tensor:
    """The rank (N,) int64 that each picture's class has for another network, 1 for the highest score.

    The picture is read as a file keeps it, in 8 bits, in float32. Raises ValueError for a judge whose `class_names` are
    not the drawer's.
    """
    check_eval_mode(network)
    names = tuple(getattr(network, "class_names", ()))
    if names != drawn.class_names:
        raise ValueError(
            f"expected a judge of the drawer's {len(drawn.class_names)} classes, got one of {len(names)} whose "
            "class_names are others; take a network that was trained on the same classes."
        )
    return ranks(float32_logits(network, (drawn.images * 255).round() / 255), drawn.targets)
