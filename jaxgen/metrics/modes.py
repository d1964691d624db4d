"""Lost modes: how many of equally frequent kinds a model makes, and how evenly."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.features import CLASSES, FeatureNet


def kinds(images: np.ndarray, net: FeatureNet) -> np.ndarray:
    """[N] the kind of each picture of stacked digits [N, H, W, C]: what a net takes its colours for, as one number."""
    seen = [net.probabilities(images[..., colour : colour + 1]).argmax(axis=1) for colour in range(images.shape[-1])]
    return np.stack(seen, axis=1) @ (CLASSES ** np.arange(len(seen))[::-1])


def modes(seen: np.ndarray, count: int) -> tuple[int, float]:
    """How many of `count` kinds are among those seen [N], and KL(seen || even) in nats.

    The reverse KL divergence of arXiv 1611.02163, section 3.3.1. Of N examples of even kinds it is about (count - 1) /
    2N, and not 0.
    """
    share = np.bincount(seen, minlength=count) / len(seen)
    share = share[share > 0]
    return len(share), float((share * np.log(share * count)).sum())
