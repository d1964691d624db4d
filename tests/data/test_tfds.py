"""A TFDS set is read by its name, and an unknown or unprepared one is one sentence."""
# SPDX-License-Identifier: Apache-2.0

import os
from pathlib import Path

import pytest

from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.types import Image, Label, Spec
from tests.data.batches import given, made

prepared = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets") / "mnist"


@pytest.mark.skipif(not prepared.is_dir(), reason="no prepared mnist in TFDS_DATA_DIR")
def test_mnist_is_read_without_tensorflow():
    data = Pictures(name="mnist")
    assert data.spec() == Spec(Image(28, 28, 1, 256), (("class", Label(10)),))
    arrays = data.arrays("test")
    assert made(arrays).shape == (10_000, 28, 28, 1) and given(arrays)[:5].max() < 10
    assert made(arrays).mean() == pytest.approx(33.79, abs=0.01)  # MNIST's test mean, a known constant


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("mnits", "neither jaxgen nor TFDS knows; did you mean 'mnist'"), ("cifar100", "is not prepared in")],
)
def test_an_unknown_or_unprepared_set(name, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        Pictures(name=name, data_dir=str(tmp_path)).spec()
