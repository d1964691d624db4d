"""How a GAN's training fails, seen in the figures of an evaluation, and the setting that helps."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Mapping
from typing import Any

_ACCURACY = 0.98  # of D on held-out pictures and samples: from here on G learns little from it
_RECALL = 0.05  # of held-out pictures among samples (real pictures: 0.8 to 0.9)
_MODES = 0.1  # of stacked digits
_HELD_OUT = 0.4  # D's mean probability of held-out pictures: training pictures are near 0.5 or above


def warning_of(figures: Mapping[str, Any]) -> str | None:
    """One sentence, for the first of three failures that `figures` show: collapse, a D too strong, one that overfits.

    Collapse shows in the recall of samples or the modes of stacked digits, where an evaluation measures samples
    (`evaluate.samples`).
    """
    for name, value in figures.items():
        if name.startswith("recall[") and value < _RECALL:
            return (
                f"{value:.0%} of the held-out pictures lie among samples ({name}), which have collapsed to few kinds; "
                "raise task.gamma by a factor of 2 to 4, or lower both learning rates"
            )
        if (modes := re.match(r"modes_of_(\d+)", name)) and value < _MODES * int(modes[1]):
            return (
                f"samples are of {value:.0f} kinds of {modes[1]} ({name}), and so have collapsed; raise task.gamma by "
                "a factor of 2 to 4, or lower both learning rates"
            )
    if figures["discriminator_accuracy"] > _ACCURACY and figures["margin"] > 0:
        return (
            f"the discriminator tells {figures['discriminator_accuracy']:.0%} of held-out pictures and samples rightly "
            f"(margin {figures['margin']:.3g}), so that the generator learns little from it; raise task.gamma by a "
            "factor of 2 to 4, or lower optimisers.discriminator.learning_rate"
        )
    if figures["p_real"] < _HELD_OUT and figures["margin"] <= 0:
        return (
            f"the discriminator calls held-out pictures no more real ({figures['p_real']:.2f}) than samples "
            f"({figures['p_fake']:.2f}), as one does that has learned its training pictures one by one; set "
            "task.augment=DiffAugment, or raise task.gamma"
        )
    return None
