"""What SpecAugment hides is a few spans, none wider than allowed or past a row's end; all else stays as it was."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.nn.sound import Features, SpecAugment
from jaxgen.ops.rows import row_keys
from jaxgen.ops.spec_augment import hidden_spans

B, F, M = 64, 40, 16
LENGTHS = jnp.asarray([0, 1, 2, 7, 40] * 12 + [33] * 4)
ROWS = jnp.arange(100, 100 + B)


def heard():
    features = jax.random.normal(jax.random.key(1), (B, F, M))
    return Features(features, jnp.arange(F) < LENGTHS[:, None])


def runs(line: np.ndarray) -> list[int]:
    """The lengths of the runs of true."""
    return [len(list(run)) for value, run in itertools.groupby(line.tolist()) if value]


def test_one_span_is_no_wider_than_allowed_and_its_widths_and_places_are_even():
    rows, length, widest = jnp.arange(6000), jnp.full(6000, 9), jnp.full(6000, 4)
    hidden = np.asarray(hidden_spans(row_keys(jax.random.key(0), rows), length, 12, 1, widest))
    assert not hidden[:, 9:].any() and max(map(len, map(runs, hidden))) == 1
    widths = np.bincount(hidden.sum(axis=1), minlength=5)
    assert ((widths - 1200) ** 2 / 1200).sum() < 18.5  # the 99.9 % point of 4 degrees of freedom
    starts = np.bincount(hidden[hidden.sum(axis=1) == 4].argmax(axis=1), minlength=6)
    even = starts.sum() / 6
    assert len(starts) == 6 and ((starts - even) ** 2 / even).sum() < 20.5  # of 5: the last place is met too


@pytest.mark.parametrize(("times", "bands"), [(1, 0), (0, 1), (2, 2), (0, 0)])
def test_only_spans_of_allowed_widths_change_and_they_take_the_rows_mean(times, bands):
    before = heard()
    settings = SpecAugment(bands=bands, band=5, times=times, time=30, fraction=0.5)
    after = settings(before, row_keys(jax.random.key(2), ROWS))
    assert np.array_equal(after.mask, before.mask)
    changed = np.asarray(after.features != before.features)
    assert not changed[~np.asarray(before.mask)].any()
    for row, length in enumerate(LENGTHS.tolist()):
        own = changed[row, :length]
        in_time, in_bands = own.all(axis=1), own.all(axis=0)
        assert in_time.sum() <= times * min(30, length // 2) and len(runs(in_time)) <= times
        if not in_time.all():
            assert in_bands.sum() <= bands * 5 and len(runs(in_bands)) <= bands
        assert np.array_equal(own, in_time[:, None] | in_bands)
        mean = np.asarray(before.features[row, :length], np.float64).mean() if length else 0.0
        np.testing.assert_allclose(np.asarray(after.features[row, :length])[own], mean, atol=1e-6)
    assert changed.any() == bool(times + bands)


def test_a_row_is_hidden_alike_whatever_the_batch_around_it():
    settings, key, before = SpecAugment(band=5, time=20), jax.random.key(3), heard()
    whole = settings(before, row_keys(key, ROWS)).features
    part = jnp.array([40, 4, 63])
    alone = settings(Features(before.features[part], before.mask[part]), row_keys(key, ROWS[part])).features
    np.testing.assert_allclose(alone, whole[part], atol=1e-6)
    assert not np.array_equal(settings(before, row_keys(key, ROWS + B)).features, whole)


def test_settings_that_cannot_be():
    with pytest.raises(UserError, match="a fraction above 0"):
        SpecAugment(fraction=0.0)
    with pytest.raises(UserError, match="give 0 or more"):
        SpecAugment(time=-1)
