"""Digits found in the frames of clips, by their ink: where each is, which it is, and whether it stays itself.

A frame's ink falls into pieces; one that is no larger than a digit's picture is a digit, whose picture is the square
around the middle of its box. Where digits touch, the piece is larger: such frames are passed over.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxgen.metrics.features import FeatureNet

_INK, _PEAK = 1 / 4, 1 / 2  # of white: what a pixel of ink has at least, and the brightest one of a digit
_SURE = 0.5  # probability of the digit that is seen
_LEAST = 2  # frames in which a clip's digits are to be found apart
_NEAR = 5 / 8  # of a digit's side: nearer than this to a wall it may bounce


@dataclass(frozen=True)
class Found:
    """The pieces of one frame's ink that may be digits: their boxes [n, 4] (top, left, bottom, right), ends excluded.

    `touching`: whether a piece is larger than one digit, so that there are others in it.
    """

    boxes: np.ndarray
    touching: bool


def found(frame: np.ndarray, side: int) -> Found:
    """The digits of a frame [H, W], ink from 0 to 1, each `side` pixels high and wide at most.

    Pieces of ink up to 2 pixels apart are one.
    """
    from scipy import ndimage

    ink = frame >= _INK
    pieces, _ = ndimage.label(ndimage.binary_dilation(ink, np.ones((3, 3))), np.ones((3, 3)))
    boxes, touching = [], False
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        own = ink[box] & (pieces[box] == number)
        if frame[box][own].max(initial=0.0) < _PEAK:
            continue  # a trace
        rows, columns = (np.flatnonzero(own.any(axis=axis)) for axis in (1, 0))
        top, left = box[0].start, box[1].start
        edges = top + rows[0], left + columns[0], top + rows[-1] + 1, left + columns[-1] + 1
        touching |= max(edges[2] - edges[0], edges[3] - edges[1]) > side
        boxes.append(edges)
    return Found(np.array(boxes, np.int64).reshape(-1, 4), touching)


@dataclass(frozen=True)
class Track:
    """A clip's digits in the frames in which each was found apart from the others."""

    frames: np.ndarray  # [F] numbers of those frames, rising
    boxes: np.ndarray  # [F, n, 4] top, left, bottom, right; a digit in one place as long as frames follow each other
    free: np.ndarray  # [F, n, 2] whether it is too far from both walls along that axis to bounce around that frame
    whole: bool  # whether digits were found in enough frames, and no frame lacks one without a reason

    @property
    def centres(self) -> np.ndarray:
        """[F, n, 2] (row, column) in pixels."""
        return centres(self.boxes)


def track(clip: np.ndarray, side: int) -> Track:
    """The digits of a clip [T, H, W], ink from 0 to 1.

    A clip has as many digits as the frame with most. A frame with fewer is passed over where they touch, in it or in
    another frame of the run of such frames that it stands in; else one has vanished.
    """
    every = [found(frame, side) for frame in clip]
    count = max((len(one.boxes) for one in every if not one.touching), default=0)
    apart = [number for number, one in enumerate(every) if len(one.boxes) == count and not one.touching]
    excused = all(any(every[number].touching for number in run) for run in _runs(set(apart), len(every)))
    enough = count > 0 and len(apart) >= min(_LEAST, len(every))
    boxes = np.zeros((len(apart), count, 4), np.int64)
    for place, number in enumerate(apart):
        own = every[number]
        order = np.arange(count) if place == 0 else _nearest(centres(boxes[place - 1]), centres(own.boxes))
        boxes[place] = own.boxes[order]
    sides = np.array(clip.shape[1:])
    near = _NEAR * side
    free = (boxes[..., :2] >= near) & (sides - boxes[..., 2:] >= near)
    return Track(np.array(apart, np.int64), boxes, free, enough and excused)


def centres(boxes: np.ndarray) -> np.ndarray:
    """[..., 2] (row, column) of the middles of boxes [..., 4]."""
    return (boxes[..., :2] + boxes[..., 2:] - 1) / 2


def _runs(apart: set[int], count: int) -> Iterator[list[int]]:
    """The runs of frames, of `count`, that are not `apart`."""
    run: list[int] = []
    for number in range(count + 1):
        if number < count and number not in apart:
            run.append(number)
        elif run:
            yield run
            run = []


def _nearest(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The order of `now` [n, 2] in which each is at the place of the one `before` [n, 2] that it is nearest to."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(np.linalg.norm(before[:, None] - now[None], axis=-1))[1]


def seen(clips: np.ndarray, tracks: list[Track], net: FeatureNet, side: int) -> list[np.ndarray]:
    """[F, n] of each clip's track: which digit the net sees, -1 where it is not sure, in `clips` [N, T, H, W, C]."""
    pictures = [
        _cut(clip[number], box, side)
        for clip, one in zip(clips, tracks, strict=True)
        for number, boxes in zip(one.frames, one.boxes, strict=True)
        for box in boxes
    ]
    if not pictures:
        return [np.zeros(one.boxes.shape[:2], np.int64) for one in tracks]
    probabilities = net.probabilities(np.stack(pictures))
    kinds = np.where(probabilities.max(axis=1) >= _SURE, probabilities.argmax(axis=1), -1)
    ends = np.cumsum([one.boxes.shape[0] * one.boxes.shape[1] for one in tracks])[:-1]
    return [part.reshape(one.boxes.shape[:2]) for part, one in zip(np.split(kinds, ends), tracks, strict=True)]


def _cut(frame: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """[side, side, C] of a frame [H, W, C] around the middle of a box, black around the frame."""
    top, left = (box[:2] + box[2:] - side) // 2
    padded = np.pad(frame, ((side, side), (side, side), (0, 0)))
    return padded[top + side : top + 2 * side, left + side : left + 2 * side]
