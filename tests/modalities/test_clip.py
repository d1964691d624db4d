"""Clips as people meet them: samples are measured beside real clips and controls, and shown as one animation."""
# SPDX-License-Identifier: Apache-2.0

import io

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.clips import MovingDigits
from jaxgen.metrics.unmeasured import Unmeasured
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Meaning, Measured
from jaxgen.types import Clip, Spec

DATA = MovingDigits(batch_size=60, frames=16, size=32, most=1, evaluated=120)
SPACES = ("moving-digits-cnn3d", "pixels, projected to 512")


@pytest.fixture(scope="module")
def presentation():
    return Presentation.of(DATA.spec(), {"made": Meaning(DATA.name)})


@pytest.fixture(scope="module")
def real():
    return DATA.first("test", 120)


def named(figures, start, space):
    """The one figure of a space whose name begins so."""
    (found,) = [
        figures[name]
        for name in figures
        if name.startswith(f"{start}frechet_video_distance[{space}") and not name.endswith("/spread")
    ]
    return found


def test_samples_stand_beside_real_clips_and_controls(presentation, real):
    assert isinstance(presentation.made, Measured)
    drawn = DATA.first("train", 120)
    figures = presentation.made.measures([drawn], real)
    for space in SPACES:
        samples, others, still, mixed = (
            named(figures, start, space) for start in ("", "real_", "frozen_", "shuffled_")
        )
        assert 0 < samples < min(still, mixed) and 0 < others < min(still, mixed)
    assert figures["identity_kept_fraction"] == figures["real_identity_kept_fraction"] == 1
    assert figures["speed_pixels"] == pytest.approx(figures["real_speed_pixels"], abs=0.3)


def test_reference_rows_are_training_clips_and_what_is_made_of_them(presentation, real):
    rows = presentation.references(DATA.first("train", 120), real)
    assert list(rows) == ["real clips", "their first frames", "their frames shuffled"]
    for space in SPACES:
        truly, still, mixed = (named(row, "", space) for row in rows.values())
        assert truly < min(still, mixed)
    assert [row["training_examples"] for row in rows.values()] == [120] * 3
    assert rows["their first frames"]["speed_pixels"] == 0


def test_clips_of_which_nothing_is_known_are_measured_in_pixels_alone():
    spec = Spec(Clip(3, 8, 8, 3, 256))
    clips = {"given": {}, "made": {"value": np.random.default_rng(0).integers(0, 256, (8, *spec.made.shape), np.uint8)}}
    made = Presentation.of(spec, {"made": Meaning("digits")}).made
    figures = made.measures([clips], clips)
    assert {name.partition("[")[2].partition("]")[0] for name in figures} == {"pixels"}
    one = {"given": {}, "made": {"value": clips["made"]["value"][:1]}}
    assert all(isinstance(figure, Unmeasured) for figure in made.measures([one], one).values())


def test_a_run_shows_sixteen_clips_as_one_animation(presentation, real):
    request = presentation.shown(DATA)
    assert len(request["row"]) == 16 and request["given"] == {}
    samples = {"given": {}, "made": {"value": real["made"]["value"][:16]}}
    artefact = presentation.show(samples)
    with Image.open(io.BytesIO(artefact.content)) as animation:
        assert artefact.suffix == "gif" and animation.format == "GIF" and animation.n_frames == 16
