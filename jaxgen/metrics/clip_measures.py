"""How near clips come to real ones: the Fréchet video distance beside its controls, and whether digits fly as they do.

A Fréchet video distance may hardly notice what happens in time (arXiv 2404.12391): beside that of samples stand those
of real clips, of real clips that stand still, and of real clips whose frames are shuffled.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping

import numpy as np

from jaxgen.metrics.clip_features import ClipNet
from jaxgen.metrics.clip_tracks import Track, seen, track
from jaxgen.metrics.features import FeatureNet
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.projection import PROJECTED, is_wide, project
from jaxgen.metrics.unmeasured import Figures, TooFew, Unmeasured, measured

_DISTANCE = "frechet_video_distance"
_SEED = 2404_12391  # of the shuffled frames


def halves(real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of N / 2 of N held-out clips: what is compared with, and real clips that are compared with it."""
    half = len(real) // 2
    return real[:half], real[half : 2 * half]


def controls(clips: np.ndarray) -> dict[str, np.ndarray]:
    """What samples' distance stands beside, by what its name begins with."""
    return {"real_": clips, "frozen_": frozen(clips), "shuffled_": shuffled(clips)}


def video_distances(sets: Mapping[str, np.ndarray], reference: np.ndarray, net: ClipNet | None, levels: int) -> Figures:
    """Fréchet video distances of sets of clips [K * M, T, H, W, C] to `reference` [M, T, H, W, C], all in levels.

    Each is the mean over as many sets of M clips as there are, and so comparable with the others; `/spread` is the
    standard deviation between them. In the net's features where there is one, and in pixels.
    """
    spaces: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if net is not None:
        spaces[net.name] = net.features
    spaces[f"pixels, {PROJECTED}" if is_wide(reference) else "pixels"] = lambda clips: _pixels(clips, levels)
    figures: Figures = {}
    for space, features in spaces.items():
        told = features(reference) if len(reference) else reference
        for kind, clips in sets.items():
            figures |= _distances(f"{kind}{_DISTANCE}[{space}]", features, clips, told)
    return figures


def _distances(
    name: str, features: Callable[[np.ndarray], np.ndarray], clips: np.ndarray, reference: np.ndarray
) -> Figures:
    """The mean distance of as many sets of the reference's size as there are, and the deviation between them."""
    size = len(reference)
    if not size or len(clips) < size:
        few = f"a Frechet video distance needs at least 4 held-out clips and half as many others: {len(clips)} against"
        return {name: Unmeasured(f"{few} {size}")}
    seen_by = features(clips)
    try:
        values = [frechet_distance(seen_by[at : at + size], reference) for at in range(0, len(clips) - size + 1, size)]
    except TooFew as error:
        return {name: Unmeasured(str(error))}
    spread = {f"{name}/spread": float(np.std(values, ddof=1))} if len(values) > 1 else {}
    return {name: float(np.mean(values))} | spread


def frozen(clips: np.ndarray) -> np.ndarray:
    """Each clip [T, H, W, C] of [N, ...] with its first frame in the place of all."""
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)


def shuffled(clips: np.ndarray) -> np.ndarray:
    """Each clip's frames in an order of its own."""
    order = np.random.default_rng(_SEED).random(clips.shape[:2]).argsort(axis=1)
    return np.take_along_axis(clips, order.reshape(*order.shape, *[1] * (clips.ndim - 2)), axis=1)


def _pixels(clips: np.ndarray, levels: int) -> np.ndarray:
    """[N, D] values from 0 to 1, or their projection."""
    return project(clips, 1 / (levels - 1)) if is_wide(clips) else clips.reshape(len(clips), -1) / (levels - 1)


def flight(clips: np.ndarray, net: FeatureNet, side: int, levels: int, prefix: str = "") -> Figures:
    """How digits fly in clips [N, T, H, W, 1] in levels, as the net of their `side` pixels sees them.

    Each figure's name stands after `prefix`.

    `identity_kept_fraction`: of all clips, those in which digits are found, none vanishes, and the same ones are seen
    in every frame in which they can be told apart. Of those that are found: `velocity_change_pixels`, the mean absolute
    change of each velocity's numbers from one frame to the next, in pixels a frame, where no wall is near (digits drawn
    at whole pixels have some, too: compare with real clips'), and `speed_pixels`, the mean of a velocity's length,
    which is 0 of clips that stand still.
    """
    tracks = [track(clip[..., 0] / (levels - 1), side) for clip in clips]
    kinds = seen(clips, tracks, net, side)
    kept = [one.whole and _constant(which) for one, which in zip(tracks, kinds, strict=True)]
    steps = [_velocities(one) for one in tracks if one.whole]
    speeds = [np.linalg.norm(velocity, axis=-1).ravel() for velocity, _ in steps]
    changes = [change for _, change in steps]
    return {
        f"{prefix}identity_kept_fraction": measured(lambda: _mean([np.array(kept, float)], "a clip")),
        f"{prefix}velocity_change_pixels": measured(lambda: _mean(changes, "a digit in three frames in a row")),
        f"{prefix}speed_pixels": measured(lambda: _mean(speeds, "a digit in two frames in a row")),
    }


def _constant(kinds: np.ndarray) -> bool:
    """Whether the same digits, and no uncertain one, are seen in all frames [F, n]."""
    kinds = np.sort(kinds, axis=1)
    return bool((kinds >= 0).all() and (kinds == kinds[:1]).all())


def _velocities(one: Track) -> tuple[np.ndarray, np.ndarray]:
    """[M, n, 2] pixels a frame between frames that follow each other; [K] their absolute changes, far from walls."""
    follows = np.diff(one.frames) == 1
    velocity = np.diff(one.centres, axis=0)
    in_a_row = follows[1:] & follows[:-1]
    change, free = np.abs(np.diff(velocity, axis=0))[in_a_row], one.free[1:-1][in_a_row]
    return velocity[follows], change[free]


def _mean(parts: list[np.ndarray], what: str) -> float:
    values = np.concatenate(parts) if parts else np.zeros(0)
    if not len(values):
        raise TooFew(f"this needs {what}, and none was found")
    return float(values.mean())
