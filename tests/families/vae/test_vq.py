"""The vector-quantised VAE: its gradient is the closed form, its codebook k-means, and its bound lies below log p."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, entropy
from sklearn.cluster import KMeans
from training import lively

from jaxgen.data.builtin import digits
from jaxgen.errors import UserError
from jaxgen.families.vae.codebook import Codebook, Codes, nearest, perplexity, straight_through
from jaxgen.families.vae.likelihoods import CategoricalLevels, summed
from jaxgen.families.vae.vq_network import GridDecoder, GridEncoder
from jaxgen.families.vae.vq_task import VqVae
from jaxgen.types import Spec, Tokens
from tests.given import cut, pictures, values_of

KEY = jax.random.key(7)
DIGITS = pictures((8, 8, 1), levels=17, classes=10)
SMALL = VqVae(
    GridEncoder(width=12, inner=6, grid_blocks=(1, 1)),
    GridDecoder(width=12, inner=6, grid_blocks=(1, 1), patch=1, likelihood=CategoricalLevels()),
    Codebook(codes=24, size=6),
    commitment=3.0,
)


def batch_of(count: int):
    return jax.tree.map(jnp.asarray, cut(digits()["train"], slice(0, count))) | {"row": jnp.arange(count)}


def test_what_follows_sees_the_code_and_the_vector_gets_its_gradient():
    z, code, slope = (jnp.asarray(x, jnp.float32) for x in np.random.default_rng(0).normal(size=(3, 5)))
    value, gradient = jax.value_and_grad(lambda z: jnp.sum(slope * straight_through(z, code) ** 2))(z)
    np.testing.assert_allclose(value, jnp.sum(slope * code**2), rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * slope * code, rtol=1e-5)


def test_the_encoders_gradient_is_the_closed_form():
    """That of the decoder's input at the codes, and 2 * commitment * (z - e), through the encoder alone."""
    task = SMALL.sized(DIGITS)
    variables, batch = lively(jax.jit(task.init)(KEY)), batch_of(6)
    params, known = variables.params, variables.extra.shared

    @jax.jit
    def expected():
        z, back = jax.vjp(lambda own: task._encoded({"encoder": own}, batch), params["encoder"])
        vectors = known.vectors[nearest(z, known.vectors)]
        decoded = lambda code: summed(task._decoded(params, code).log_prob(values_of(batch), 17)).sum()  # noqa: E731
        return back(-jax.grad(decoded)(vectors) + 2 * task.commitment * (z - vectors))[0]

    total = lambda params: task.loss(variables.replace(params=params), batch, KEY)[0].total  # noqa: E731
    found = jax.jit(jax.grad(total))(params)["encoder"]
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(b).max()))


def test_the_nearest_code_is_the_one_at_the_least_distance():
    rng = np.random.default_rng(1)
    z, vectors = rng.normal(size=(3, 4, 5, 6)).astype(np.float32), rng.normal(size=(40, 6)).astype(np.float32)
    distances = ((z[..., None, :] - vectors) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(nearest(z, vectors), distances.argmin(axis=-1))


def clusters(rows: int = 60):
    """[rows, 2, 2, 3] vectors around eight corners, and a vector of each kind to begin from."""
    rng = np.random.default_rng(2)
    corners = np.array(list(itertools.product((-2.0, 2.0), repeat=3)))
    kinds = rng.integers(0, 8, (rows, 2, 2))
    z = corners[kinds] + rng.normal(size=(rows, 2, 2, 3))
    return jnp.asarray(z, jnp.float32), jnp.asarray(corners + rng.normal(size=(8, 3)), jnp.float32)


def test_without_memory_the_codebook_is_k_means():
    z, vectors = clusters()
    book = Codebook(codes=8, size=3, decay=0.0, restart=0.0)
    codes = Codes(vectors, jnp.zeros(8), jnp.zeros((8, 3)))
    rows, weight = jnp.arange(len(z)), jnp.ones(len(z))

    @jax.jit
    def step(codes):
        return book.absorb(codes, book.assigned(z, nearest(z, codes.vectors), weight, KEY, rows))

    for _ in range(100):
        codes = step(codes)
    flat = np.asarray(z, np.float64).reshape(-1, 3)
    means = KMeans(8, init=np.asarray(vectors, np.float64), n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(flat)
    np.testing.assert_allclose(codes.vectors, means.cluster_centers_, atol=1e-4)
    np.testing.assert_array_equal(codes.counts, np.bincount(means.labels_, minlength=8))


def test_with_memory_a_code_is_the_weighted_mean_of_what_it_was_used_for():
    z, vectors = clusters()
    book, rows = Codebook(codes=8, size=3, decay=0.9, restart=0.0), jnp.arange(len(z))
    codes = Codes(vectors, jnp.zeros(8), jnp.zeros((8, 3)))
    own = nearest(z, vectors)
    for number in range(3):
        part = jnp.float32((rows % 3) == number)
        codes = book.absorb(codes, book.assigned(z, own, part, KEY, rows))
    memory = np.float64(0.9) ** (2 - np.asarray(rows) % 3)
    weights = np.repeat(memory, 4) * np.eye(8)[:, np.asarray(own).reshape(-1)]  # [K, N]
    means = weights @ np.asarray(z).reshape(-1, 3) / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(codes.vectors, means, rtol=1e-4)


def test_the_statistics_of_parts_are_those_of_the_whole_and_padding_weighs_nothing():
    z, vectors = clusters(12)
    book, own, rows = Codebook(codes=8, size=3), nearest(z, vectors), jnp.arange(12)
    weight = jnp.float32(rows % 3 > 0)
    whole = book.assigned(z, own, weight, KEY, rows)
    parts = [book.assigned(z[at], own[at], weight[at], KEY, rows[at]) for at in (slice(0, 4), slice(4, 12))]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), whole, jax.tree.map(jnp.add, *parts))
    kept = rows % 3 > 0
    fewer = book.assigned(z[kept], own[kept], weight[kept], KEY, rows[kept])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), whole, fewer)
    assert whole.counts.sum() == 8 * 4 and whole.offers.sum() == 8


def test_a_code_that_is_not_used_moves_to_a_vector_of_the_batch_and_is_used_then():
    z, vectors = clusters()
    far = vectors.at[3].set(100.0)  # no vector is near it
    book, rows, weight = Codebook(codes=8, size=3), jnp.arange(len(z)), jnp.ones(len(z))
    codes = Codes(far, jnp.full(8, 5.0).at[3].set(0.0), jnp.full((8, 1), 5.0).at[3].set(0.0) * far)
    moved = book.absorb(codes, book.assigned(z, nearest(z, far), weight, KEY, rows))
    assert float(jnp.abs(moved.vectors[3]).max()) < 6 and moved.counts[3] > 1
    still = replace(book, restart=0.0).absorb(codes, book.assigned(z, nearest(z, far), weight, KEY, rows))
    np.testing.assert_array_equal(still.vectors[3], far[3])
    others = np.arange(8) != 3
    np.testing.assert_array_equal(moved.vectors[others], still.vectors[others])
    assert (nearest(z, moved.vectors) == 3).any()
    np.testing.assert_allclose(moved.sums, moved.vectors * moved.counts[:, None], rtol=1e-5, atol=1e-5)


def test_frequencies_sum_to_one_and_even_ones_have_the_perplexity_of_their_number():
    book = Codebook(codes=5, size=2)
    fresh = book.init(KEY)
    np.testing.assert_allclose(jnp.exp(fresh.log_frequencies), np.full(5, 0.2), rtol=1e-5)
    np.testing.assert_allclose(perplexity(jnp.exp(fresh.log_frequencies)), 5, rtol=1e-5)
    used = fresh.replace(counts=jnp.array([6.0, 2.0, 2.0, 0.0, 0.0]))
    frequencies = np.exp(used.log_frequencies)
    assert abs(frequencies.sum() - 1) < 1e-6 and frequencies.min() > 0
    np.testing.assert_allclose(frequencies, [0.6, 0.2, 0.2, 0, 0], atol=1e-3)
    np.testing.assert_allclose(perplexity(jnp.array([0.6, 0.2, 0.2, 0, 0])), np.exp(0.9502705), rtol=1e-5)


def tiny():
    """A task on 81 pictures with 25 grids of codes, its variables with uneven frequencies, and all pictures."""
    encoder, decoder = (network.clone(grid_blocks=(1,)) for network in (SMALL.encoder, SMALL.decoder))
    task = replace(SMALL, encoder=encoder, decoder=decoder.clone(patch=2), codebook=Codebook(codes=5, size=3))
    task = task.sized(pictures((2, 4, 1), levels=2))
    variables = lively(jax.jit(task.init)(KEY))
    shared = variables.extra.shared.replace(counts=jnp.array([5.0, 1.0, 0.0, 2.0, 4.0]))
    image = np.array(list(itertools.product(range(2), repeat=8)), np.uint8).reshape(256, 2, 4, 1)
    return task, variables.replace(extra=variables.extra.replace(shared=shared)), {
        "row": jnp.arange(256),
        "made": {"value": image},
    }


def exact_log_prob():
    """[25, 256] and [256] nats: of each picture with each grid of codes, and of each picture by their sum."""
    task, variables, batch = tiny()

    @jax.jit
    def joint(codes):
        prior = variables.extra.shared.log_frequencies[codes].sum()
        return prior - task.code_nats(variables, batch, jnp.broadcast_to(codes, (256, 1, 2)))

    grids = jnp.asarray(list(itertools.product(range(5), repeat=2)), jnp.int32).reshape(25, 1, 2)
    nats = np.asarray(jax.lax.map(joint, grids), np.float64)
    return nats, np.log(np.exp(nats).sum(axis=0))


def test_the_bound_lies_below_the_exact_likelihood_which_sums_to_one():
    task, variables, batch = tiny()
    nats, exact = exact_log_prob()
    assert abs(np.exp(exact).sum() - 1) < 1e-4
    bound = np.asarray(jax.jit(task.log_prob)(variables, batch, KEY))
    codes = np.asarray(task.encode(variables, batch)).reshape(256, 2)
    assert (bound <= exact + 1e-4).all()
    np.testing.assert_allclose(bound, nats[codes @ [5, 1], np.arange(256)], rtol=1e-4, atol=1e-4)
    figures = task.finish(jax.jit(task.evaluate)(variables, batch | {"weight": jnp.ones(256)}, KEY)[0])
    np.testing.assert_allclose(figures["nats_per_example"], -bound.mean(), rtol=1e-5)
    frequencies = np.bincount(codes.reshape(-1), minlength=5) / codes.size
    np.testing.assert_allclose(figures["code_perplexity"], np.exp(entropy(frequencies)), rtol=1e-5)
    assert figures["codes_used"] == (frequencies > 0).sum()
    z, vectors = task._encoded(variables.params, batch), np.asarray(variables.extra.shared.vectors)
    distances = ((np.asarray(z)[..., None, :] - vectors) ** 2).sum(axis=-1).min(axis=-1)
    np.testing.assert_allclose(figures["commitment"], distances.sum(axis=(1, 2)).mean(), rtol=1e-4)


def test_samples_follow_the_exact_likelihood():
    task, variables, _ = tiny()
    drawn = np.asarray(values_of(jax.jit(task.sample)(variables, {"row": jnp.arange(20_000)}, KEY)))
    assert drawn.dtype == np.uint8
    counts = np.bincount(drawn.reshape(-1, 8) @ 2 ** np.arange(8)[::-1], minlength=256)
    expected = np.exp(exact_log_prob()[1]) * 20_000
    assert expected.min() > 2 and ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, 255)


def test_mistakes_are_told_in_a_sentence():
    with pytest.raises(UserError, match="choose data with pictures"):
        SMALL.sized(Spec(Tokens(16, 30)))
    with pytest.raises(UserError, match=r"multiples of 2, and these are 5x8; set decoder\.grid_blocks"):
        SMALL.sized(pictures((5, 8, 1), levels=17))
    for how, match in (
        (lambda: Codebook(codes=1), r"codebook\.codes is 1"),
        (lambda: Codebook(decay=1.0), r"codebook\.decay is 1\.0"),
        (lambda: replace(SMALL, commitment=-1.0), "commitment is -1.0; give 0 or more"),
        (lambda: replace(SMALL, encoder=GridEncoder(grid_blocks=(1,))), "give both as many grids"),
    ):
        with pytest.raises(UserError, match=match):
            how()
