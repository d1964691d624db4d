"""Truths of the feature net: the shipped weights recognise held-out digits, and training repeats itself."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import metrics
from jaxgen.data.builtin import digits
from jaxgen.metrics.features import decode, encode, load, log_probabilities
from jaxgen.metrics.train_digits_cnn import augment, train
from tests.data.batches import given, made

WEIGHTS = Path(metrics.__file__).parent / "weights" / "digits-cnn.safetensors"


def test_the_shipped_net_recognises_held_out_digits():
    test = digits()["test"]
    probabilities = load("digits").probabilities(made(test))
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == given(test)) >= 0.985


def test_the_name_is_the_hash_of_a_small_file():
    weights = WEIGHTS.read_bytes()
    assert load("digits").name == f"digits-cnn-{hashlib.sha256(weights).hexdigest()[:4]}"
    assert len(weights) < 300_000


def test_the_weights_go_there_and_back():
    assert encode(load("digits").params) == WEIGHTS.read_bytes()
    assert decode(WEIGHTS.read_bytes()).name == load("digits").name


def test_a_set_without_a_net_has_none():
    assert load("mnist") is None


def test_an_answer_depends_on_its_own_picture_alone_and_not_on_its_type():
    net, images = load("digits"), made(digits()["test"])[:6]
    assert net.features(images)[2:3] == pytest.approx(net.features(images[2:3]), abs=1e-5)
    assert (net.features(images) == net.features(images.astype(np.float32))).all()


def test_a_reward_can_differentiate_through_it():
    """A short step along the gradient makes the asked digit likelier by what the gradient promises."""
    params, images = load("digits").params, made(digits()["test"])[:8].astype(np.float32)
    reward = jax.jit(lambda x: log_probabilities(params, x)[jnp.arange(8), jnp.arange(8)])
    gradient = np.asarray(jax.jit(jax.grad(lambda x: reward(x).sum()))(images))
    length = np.sqrt(np.sum(gradient**2, axis=(1, 2, 3)))
    step = 0.01 * gradient / length[:, None, None, None]
    np.testing.assert_allclose(
        reward(images + step / 2) - reward(images - step / 2), 0.01 * length, rtol=0.02, atol=2e-5
    )


def test_augmentation_moves_a_picture_by_a_pixel_at_most():
    image = np.zeros((200, 8, 8, 1), np.uint8)
    image[:, 4, 4] = 16
    moved = np.asarray(jax.jit(augment)(image, jax.random.key(0))).reshape(200, 64)
    rows, columns = np.unravel_index(moved.argmax(axis=1), (8, 8))
    assert set(rows) == set(columns) == {3, 4, 5}


def test_training_repeats_itself_to_the_byte():
    examples = digits()["train"]
    once, again = (encode(train(made(examples), given(examples), steps=12)) for _ in range(2))
    assert once == again


@pytest.mark.slow
def test_the_whole_training_reaches_its_figure():
    sets = digits()
    net = decode(encode(train(made(sets["train"]), given(sets["train"]))))
    assert np.mean(net.probabilities(made(sets["test"])).argmax(axis=1) == given(sets["test"])) >= 0.985
