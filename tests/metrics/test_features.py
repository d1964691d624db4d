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
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.metrics.features import NETS, DigitsNet, decode, load, log_probabilities
from jaxgen.metrics.shipped_nets import encode
from jaxgen.metrics.train_feature_net import RECIPES, augment, train
from tests.data.batches import given, made

WEIGHTS = Path(metrics.__file__).parent / "weights" / "digits-cnn.safetensors"


def test_the_shipped_net_recognises_held_out_digits():
    test = digits()["test"]
    probabilities = load("digits").probabilities(made(test))
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == given(test)) >= 0.985


def test_the_net_of_a_prepared_set_recognises_held_out_pictures():
    try:
        test = Pictures(name="mnist").first("test", 500)
    except UserError as error:
        pytest.skip(str(error))
    assert np.mean(load("mnist").probabilities(made(test)).argmax(axis=1) == given(test)) >= 0.985


@pytest.mark.parametrize("data", NETS)
def test_a_net_takes_its_sets_pictures_and_is_small(data):
    kind, net, shape = NETS[data]
    assert load(data, shape, net.levels).name.startswith(kind)
    assert WEIGHTS.with_stem(kind).stat().st_size < 2_000_000
    assert load(data).probabilities(np.zeros((2, *shape), np.uint8)).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_name_is_the_hash_of_a_small_file():
    weights = WEIGHTS.read_bytes()
    assert load("digits").name == f"digits-cnn-{hashlib.sha256(weights).hexdigest()[:4]}"
    assert len(weights) < 300_000


def test_the_weights_go_there_and_back():
    assert encode(load("digits").params) == WEIGHTS.read_bytes()
    assert decode("digits", WEIGHTS.read_bytes()).name == load("digits").name


def test_a_set_without_a_net_has_none():
    assert load("emoji") is None
    assert load("mnist", (32, 32, 1), 256) is load("mnist", (28, 28, 1), 2) is None


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
    moved = np.asarray(jax.jit(augment, static_argnums=1)(image, RECIPES["digits"], jax.random.key(0))).reshape(200, 64)
    rows, columns = np.unravel_index(moved.argmax(axis=1), (8, 8))
    assert set(rows) == set(columns) == {3, 4, 5}


def test_training_repeats_itself_to_the_byte():
    examples, recipe = digits()["train"], RECIPES["digits"]
    once, again = (encode(train(made(examples), given(examples), recipe, DigitsNet(), steps=12)) for _ in range(2))
    assert once == again


@pytest.mark.slow
def test_the_whole_training_reaches_its_figure():
    sets = digits()
    net = decode("digits", encode(train(made(sets["train"]), given(sets["train"]), RECIPES["digits"], DigitsNet())))
    assert np.mean(net.probabilities(made(sets["test"])).argmax(axis=1) == given(sets["test"])) >= 0.985
