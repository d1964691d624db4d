"""TensorBoard events: what was written is read back from the file's own records, byte by byte."""
# SPDX-License-Identifier: Apache-2.0

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from jaxgen.reporting.events import EventWriter
from jaxgen.reporting.grids import image_grid


def events(folder: Path) -> list[Event]:
    """All events of the folder's file: records of length, checksum, message, checksum."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found, start = path.read_bytes(), [], 0
    while start < len(content):
        (length,) = struct.unpack("<Q", content[start : start + 8])
        found.append(Event.FromString(content[start + 12 : start + 12 + length]))
        start += 16 + length
    return found


def test_scalars_come_back_under_their_names_splits_and_steps(tmp_path):
    with EventWriter(tmp_path) as writer:
        writer.scalars(100, "train", {"generator/loss": 1.5, "discriminator/loss": 0.25})
        writer.scalars(200, "test", {"bits_per_dim": 1.75})
    found = [(event.step, value.tag, value.simple_value) for event in events(tmp_path) for value in event.summary.value]
    assert found == [(100, "generator/loss/train", 1.5), (100, "discriminator/loss/train", 0.25),
                     (200, "bits_per_dim/test", 1.75)]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_come_back_pixel_by_pixel(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, channels), np.uint8)
    png = image_grid(pixels[None], columns=1, scale=1)
    with EventWriter(tmp_path) as writer:
        writer.image(7, "array", pixels)
        writer.image(7, "png", png)
    values = {value.tag: value.image for event in events(tmp_path) for value in event.summary.value}
    for image in values.values():
        shown = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB"))
        np.testing.assert_array_equal(shown, np.broadcast_to(pixels, (4, 5, 3)))
    assert set(values) == {"array", "png"}


def test_a_resumed_run_purges_what_came_after_the_step_it_kept(tmp_path):
    with EventWriter(tmp_path, resumed_at=1000) as writer:
        writer.scalars(1100, "train", {"loss": 1.0})
    starts = [event.step for event in events(tmp_path) if event.session_log.status == SessionLog.START]
    assert starts == [1001]
