"""Truths of the histogram model: likelihoods that sum to one, samples with its frequencies, digits' 2.43 bits."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math

import numpy as np
import pytest

from jaxgen.data.builtin import digits
from jaxgen.metrics.histogram import histogram_bits_per_dim, histogram_nats, sample_histogram
from jaxgen.metrics.likelihood import bits_per_dim
from tests.data.batches import given, made


def test_a_uniform_picture_costs_the_logarithm_of_its_levels():
    assert bits_per_dim(64 * math.log(16), 64) == pytest.approx(4.0)


def test_the_probabilities_of_all_pictures_sum_to_one():
    train = np.random.default_rng(0).integers(3, size=(7, 2, 2, 1))
    every = np.array(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2, 1)
    assert np.exp(-histogram_nats(train, every, levels=3)).sum() == pytest.approx(1.0)


def test_smoothing_counts_every_level_once_more():
    train, test = np.array([0, 0, 1]).reshape(3, 1, 1, 1), np.array([0, 1, 2]).reshape(3, 1, 1, 1)
    assert np.exp(-histogram_nats(train, test, levels=3)) == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_samples_have_their_class_frequencies_and_no_ties_between_pixels():
    generator = np.random.default_rng(0)
    images = np.array([[0, 0], [0, 0], [2, 2], [5, 5]], np.uint8).reshape(4, 1, 2, 1)
    labels, wanted = np.array([3, 3, 3, 7]), np.repeat([7, 3], [10, 90_000])
    drawn = sample_histogram(images, labels, wanted, generator).reshape(-1, 2)
    assert (drawn[:10] == 5).all()  # class 7 has but one picture
    left, right = (drawn[10:] == 2).T
    assert left.mean() == pytest.approx(1 / 3, abs=0.01)
    assert (left & right).mean() == pytest.approx(1 / 9, abs=0.01)  # together in each picture, yet drawn apart


def test_bits_per_dim_of_digits():
    train, test = digits()["train"], digits()["test"]
    bits = histogram_bits_per_dim(made(train), given(train), made(test), given(test), levels=17)
    assert bits["bits_per_dim[unconditional]"] == pytest.approx(2.431, abs=0.001)
    assert bits["bits_per_dim[given class]"] == pytest.approx(2.204, abs=0.001)
