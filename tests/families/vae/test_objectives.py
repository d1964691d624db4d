"""Objectives are what their equations say, and a warm-up counts the updates that were taken, whatever cuts the run."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.families.vae.bounds import Drawn
from jaxgen.families.vae.dense import DenseDecoder, DenseEncoder
from jaxgen.families.vae.network import Decoder, Encoder
from jaxgen.families.vae.objectives import EvidenceBound, ImportanceWeightedBound, Past
from jaxgen.families.vae.spectral import spectral_norm, sum_of_spectral_norms
from jaxgen.families.vae.task import Vae
from jaxgen.running.assembly import assemble
from jaxgen.training.feeds import TracedFeed
from jaxgen.training.optimisers import SGD, AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.training.step import init_state, make_game, take_step
from tests.given import pictures

KEY = jax.random.key(2)
RNG = np.random.default_rng(3)
NATS, KL = RNG.normal(size=(4, 3)), RNG.uniform(0, 2, size=(2, 4, 3))  # [K, B], [L, K, B]
DRAWN = jax.tree.map(jnp.float32, Drawn(NATS, 2 * KL, KL, KL, np.zeros((4, 3, 1))))
WEIGHED = 1.5 * KL[0] + 0.5 * KL[1]  # by shares of 3 and 1 nats


def past(updates: int, *nats: float) -> Past:
    return Past(jnp.int32(updates), jnp.array(nats))


@pytest.mark.parametrize(
    ("objective", "past", "expected"),
    [
        (EvidenceBound(4), None, (-NATS + KL.sum(0)).mean(0)),
        (EvidenceBound(4, beta=3.0), None, (-NATS + 3 * KL.sum(0)).mean(0)),
        (EvidenceBound(4, free_nats=0.7), None, (-NATS + np.maximum(KL, 0.7).sum(0)).mean(0)),
        (EvidenceBound(4, beta=3.0, warmup=10), Past(2, None), (-NATS + 0.6 * KL.sum(0)).mean(0)),
        (EvidenceBound(4, warmup=10), Past(25, None), (-NATS + KL.sum(0)).mean(0)),
        (balanced := EvidenceBound(4, warmup=10, balance=True), past(5, 3.0, 1.0), (-NATS + WEIGHED / 2).mean(0)),
        (balanced, past(10, 3.0, 1.0), (-NATS + KL.sum(0)).mean(0)),
        (ImportanceWeightedBound(4), None, -np.log(np.exp(NATS - KL.sum(0)).mean(0))),
    ],
)
def test_an_objective_is_its_equation(objective, past, expected):
    np.testing.assert_allclose(objective(DRAWN, past), expected, rtol=1e-5)


def test_more_samples_are_drawn_each_on_its_own_and_tighten_the_loss():
    networks = DenseEncoder((6,), 1), DenseDecoder((6,), 1, latent=(2,))
    value = jnp.broadcast_to(jnp.eye(2, dtype=jnp.uint8)[None, :, :, None], (64, 2, 2, 1))
    batch = {"row": jnp.arange(64), "made": {"value": value}}
    bound = Vae(*networks, prior=None).sized(pictures((2, 2, 1), levels=2))
    variables = jax.jit(bound.init)(KEY)
    losses = [
        float(jax.jit(replace(bound, objective=one).loss)(variables, batch, KEY)[0].value)
        for one in (EvidenceBound(), EvidenceBound(200), ImportanceWeightedBound(5), ImportanceWeightedBound(200))
    ]
    assert losses[3] < losses[2] < losses[1] and abs(losses[0] - losses[1]) < 0.2
    weighed = batch | {"weight": jnp.ones(64)}
    sums, _ = jax.jit(replace(bound, importance_samples=200).evaluate)(variables, weighed, KEY)
    np.testing.assert_allclose([sums["elbo_nats"].value, sums["nats"].value], losses[1::2], atol=0.06)


def test_a_warm_up_counts_the_updates_that_were_taken():
    networks = DenseEncoder((4,), 1), DenseDecoder((4,), 1, latent=(2,))
    task = Vae(*networks, None, EvidenceBound(warmup=3)).sized(pictures((2, 2, 1), levels=2))
    batch = {"row": jnp.arange(4), "made": {"value": jnp.ones((4, 2, 2, 1), jnp.uint8)}}
    game = make_game(task, jax.eval_shape(task.init, KEY).params, {"bound": SGD(0.1)}, {}, 9, 4, accumulate=2)
    step = jax.jit(lambda state: take_step(game, state, lambda source, *_: (batch, source), lambda tree: tree))
    state = init_state(game, KEY)
    for number in range(4):
        assert int(state.extra.shared.updates) == number
        before, (state, metrics) = state, step(state)
        loss, parts = metrics["loss"].value, (metrics["reconstruction_nats"].value, metrics["kl_nats"].value)
        np.testing.assert_allclose(loss, parts[0] + min(number / 3, 1) * parts[1], rtol=1e-5)
    spoilt = before.replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, before.params))
    assert int(step(spoilt)[0].extra.shared.updates) == 3  # a skipped update is none


@pytest.mark.parametrize("count", [1, 2])
def test_layers_are_balanced_by_moving_averages_of_their_divergences(count):
    """The same on two devices, whose rows' divergences differ: of a whole batch, cut in parts or not."""
    networks = DenseEncoder((4, 4), 1), DenseDecoder((4, 4), 1, latent=(3, 2))
    task = Vae(*networks, None, EvidenceBound(warmup=50, balance=True)).sized(pictures((2, 2, 1), levels=2))
    value = jax.random.bernoulli(KEY, shape=(4, 2, 2, 1)).astype(jnp.uint8)
    batch = {"row": jnp.arange(4), "made": {"value": value}}
    game = make_game(task, jax.eval_shape(task.init, KEY).params, {"bound": SGD(0.0)}, {}, 9, 4, accumulate=count)
    step = jax.jit(lambda state: take_step(game, state, lambda source, *_: (batch, source), lambda tree: tree)[0])
    state = init_state(game, KEY)
    for _ in range(200):
        state = step(state)
    weighed = batch | {"weight": jnp.ones(4)}
    exact = jax.jit(replace(task, importance_samples=2000).evaluate)(state.variables, weighed, KEY)[0]["kl_nats"].value
    assert exact.shape == (2,)
    np.testing.assert_allclose(state.extra.shared.layer_nats, exact, rtol=0.25)


def test_spectral_norms_are_the_largest_singular_values_and_their_gradient_too():
    kernels = [RNG.normal(size=shape) * [8, 1, 1, 1, 1] for shape in ((3, 3, 4, 5), (6, 5))]  # one value far above all
    params = {"a": {"kernel": jnp.float32(kernels[0])}, "b": {"kernel": jnp.float32(kernels[1]), "bias": jnp.ones(5)}}
    values = [np.linalg.svd(kernel.reshape(-1, 5)) for kernel in kernels]
    np.testing.assert_allclose(sum_of_spectral_norms(params), sum(s[0] for _, s, _ in values), rtol=1e-5)
    gradient = jax.grad(sum_of_spectral_norms)(params)
    u, _, vt = values[0]
    np.testing.assert_allclose(gradient["a"]["kernel"].reshape(-1, 5), np.outer(u[:, 0], vt[0]), atol=1e-4)
    assert not gradient["b"]["bias"].any()
    assert spectral_norm(jnp.zeros((3, 2))) == 0 and np.isfinite(jax.grad(spectral_norm)(jnp.zeros((3, 2)))).all()


def test_a_spectral_penalty_is_added_to_the_objective():
    task = Vae(DenseEncoder((4,), 1), DenseDecoder((4,), 1, latent=(2,)), None).sized(pictures((2, 2, 1), levels=2))
    variables, batch = task.init(KEY), {"row": jnp.arange(4), "made": {"value": jnp.ones((4, 2, 2, 1), jnp.uint8)}}
    plain, held = (jax.jit(one.loss)(variables, batch, KEY)[0].value for one in (task, replace(task, spectral=0.3)))
    np.testing.assert_allclose(held - plain, 0.3 * sum_of_spectral_norms(variables.params), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: EvidenceBound(0), "objective.samples is 0"),
        (lambda: EvidenceBound(beta=-1.0), "objective.beta is -1"),
        (lambda: EvidenceBound(free_nats=float("nan")), "free_nats nan"),
        (lambda: EvidenceBound(balance=True), "set objective.warmup"),
        (lambda: Vae(prior=None, spectral=-1.0), "spectral is -1"),
        (lambda: ImportanceWeightedBound(0), "give at least 1"),
    ],
)
def test_a_wrong_objective_is_told_in_a_sentence(make, match):
    with pytest.raises(UserError, match=match):
        make()


@pytest.mark.parametrize("objective", [ImportanceWeightedBound(samples=8), EvidenceBound(samples=8)])
def test_each_of_two_devices_decodes_the_samples_of_its_own_pictures_alone(objective):
    """Half of one device's arithmetic. With a sample's pictures side by side each would decode all samples of all."""
    flops = []
    for count in (1, 2):
        task = Vae(Encoder(width=64, blocks=1), Decoder(width=64, blocks=1, latent=8), None, objective)
        optimisers = {"bound": AdamW(learning_rate=1e-3)}
        data, parallel = Pictures(name="digits", batch_size=32), Parallel(data=count)
        assembly = assemble(Experiment(task, data, optimisers, steps=1, parallel=parallel))
        state = assembly.devices.begin(assembly.init, assembly.key, None)
        fed = TracedFeed(assembly.source, assembly.devices).example(state)
        program = assembly.devices.lower(assembly.game, state, fed, True, assembly.loops).compile()
        flops.append(program.cost_analysis()["flops"])
    assert flops[1] < 0.6 * flops[0]
