"""Long computations on data that cannot be committed: their small results are, and the notebooks read those.

`dlapps data make NAME` runs one of `STUDIES` and replaces its file in data/results. Each step is kept in data/cache as
soon as it is done, so that a stopped study goes on where it was.
"""

from collections.abc import Callable
from pathlib import Path

from studies import dann, flow, gan, gan_judge, gan_ring, gan_selection, transfer, transfer_finetuning, visualizing_attacks, visualizing_classes, visualizing_defence, visualizing_saliency

STUDIES: dict[str, Callable[[], Path]] = {
    "scenes15-features": transfer.make_scenes15_features,
    "scenes15-experiments": transfer.make_scenes15_experiments,
    "scenes15-finetuned": transfer_finetuning.make_scenes15_finetuned,
    "visualizing-saliency": visualizing_saliency.make_saliency,
    "visualizing-attacks": visualizing_attacks.make_attacks,
    "visualizing-defence": visualizing_defence.make_defence,
    "visualizing-classes": visualizing_classes.make_classes,
    "visualizing-scenes": visualizing_classes.make_scenes,
    "mnistm": dann.make_mnistm,
    "mnistm-improved": dann.make_improved_weights,
    "mnistm-figures": dann.make_mnistm_figures,
    "digit-classifier": gan_judge.make_digit_classifier,
    "gan-selection": gan_selection.make_gan_selection,
    "gan": gan.make_gan,
    "gan-ring": gan_ring.make_gan_ring,
    "flow-selection": flow.make_flow_selection,
    "flow": flow.make_flow,
}
