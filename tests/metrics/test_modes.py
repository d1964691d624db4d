"""Modes counted against distributions whose divergence is known, and real stacked digits by the net that ships."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np
import pytest

from jaxgen.data.pictures import Pictures
from jaxgen.data.stacked import StackedDigits
from jaxgen.errors import UserError
from jaxgen.metrics.features import load
from jaxgen.metrics.modes import kinds, modes

DATA = StackedDigits(digits="digits", batch_size=16, evaluated=500)


def test_the_divergence_from_even_kinds_is_the_missing_entropy():
    assert modes(np.arange(1000).repeat(3), 1000) == (1000, pytest.approx(0, abs=1e-12))
    assert modes(np.zeros(50, int), 1000) == (1, pytest.approx(np.log(1000)))
    assert modes(np.arange(500).repeat(2), 1000) == (500, pytest.approx(np.log(2)))


def test_of_even_kinds_chance_leaves_what_is_told():
    seen = np.random.default_rng(0).integers(0, 1000, 26_000)
    found, divergence = modes(seen, 1000)
    assert found == 1000 and divergence == pytest.approx(999 / 52_000, rel=0.15)


def test_each_colour_is_a_digit_of_the_set_and_the_net_knows_all_three():
    digits = Pictures().arrays("train")
    labels = digits["given"]["class"]["value"]
    known = {one.tobytes(): label for one, label in zip(digits["made"]["value"], labels, strict=True)}
    source, rows = DATA.source(), np.arange(16)
    batch = jax.device_get(jax.jit(source.next)(jax.random.key(0), None, np.int32(0), rows)[0])
    images = batch["made"]["value"]
    labels = np.array([[known[image[..., [colour]].tobytes()] for colour in range(3)] for image in images])
    assert images.shape == (16, 8, 8, 3) and len(set(map(tuple, labels))) > 12
    part = jax.device_get(jax.jit(source.next)(jax.random.key(0), None, np.int32(0), rows[4:6])[0])
    np.testing.assert_array_equal(part["made"]["value"], images[4:6])
    assert np.mean(kinds(images, load("digits")) == labels @ [100, 10, 1]) > 0.9


def test_evaluation_sees_held_out_digits_always_the_same():
    first, whole = DATA.first("test", 40), DATA.evaluation("test")
    np.testing.assert_array_equal(whole["made"]["value"].reshape(-1, 8, 8, 3)[:40], first["made"]["value"])
    assert whole["weight"].sum() == 500
    held = {one.tobytes() for one in Pictures().arrays("test")["made"]["value"]}
    assert all(one[..., [0]].tobytes() in held for one in first["made"]["value"])
    with pytest.raises(UserError, match="in colour"):
        StackedDigits(digits="emoji").spec()
