"""The score-function gradient is the objective's, exactly; tuned by it, a policy comes to the known optimum."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.core.masks import paths
from jaxgen.core.task import Trajectory
from jaxgen.errors import UserError
from jaxgen.ops.advantages import leave_one_out
from jaxgen.rewards.functions import ClassProbability
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.rewards.tuned import Samples, TunedGame
from jaxgen.types import Variables
from tests.given import pictures
from tests.rewards.worlds import EVERY, NETWORKS, SPEC, Ink, log_probs, policy

KEY = jax.random.key(0)


def objective(task, variables, start, reward, kl):
    """E[reward] - kl_coef * KL(policy || start), over all 16 pictures."""
    log_p, log_start = log_probs(task, variables), log_probs(task, start)
    return jnp.sum(jnp.exp(log_p) * (reward - kl * (log_p - log_start)))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_mean_gradient_over_all_groups_is_the_exact_one(kind):
    """Every pair of pictures as a group of two, weighed by how likely the policy draws it."""
    (task, variables), (_, start) = policy(kind), policy(kind, seed=8)
    tuning = ScoreFunction(Ink(), kl_coef=0.3, group=2)
    reward = Ink()(Ink().prepare(SPEC), {"made": {"value": EVERY}})
    exact_gradient = jax.jit(jax.grad(lambda params: objective(task, Variables(params), start, reward, tuning.kl_coef)))
    exact = exact_gradient(variables.params)

    pair = np.array(list(itertools.product(range(16), repeat=2))).reshape(-1)  # 256 groups of two
    log_p = log_probs(task, variables)
    returns = reward - tuning.kl_coef * (log_p - log_probs(task, start))
    likely = jnp.exp(log_p)[pair].reshape(-1, 2).prod(axis=1).repeat(2)
    tokens = np.concatenate([np.full((512, 1), 2, np.int32), EVERY.reshape(16, 4)[pair]], axis=1)
    request, example = {"row": np.arange(512), "given": {}}, {"given": {}, "made": {"value": EVERY[pair]}}
    trajectory = Trajectory(request, tokens, jnp.zeros((512, 4)), example)
    batch = {
        "trajectory": trajectory,
        "advantage": leave_one_out(returns[pair], 2) * likely * 256,
        "reward": reward[pair],
        "kl_nats": jnp.zeros(512),
    }
    loss = TunedGame(task, tuning).loss
    gradient = jax.jit(jax.grad(lambda params: loss(Variables(params), batch, KEY)[0].value))(variables.params)
    for path, a, b in zip(paths(exact), jax.tree.leaves(exact), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(-b, a, rtol=1e-3, atol=2e-6, err_msg=path)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_batch_holds_what_its_names_say(kind):
    (task, variables), (_, start) = policy(kind), policy(kind, seed=8)
    tuning = ScoreFunction(Ink(), kl_coef=0.3, group=4)
    source = Samples.of(task, tuning, 4096)
    state = source.init(KEY, start.params)
    batch, after = jax.jit(source.next)(state, variables, jnp.int32(0), jnp.arange(4096))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    place = np.asarray(batch["trajectory"].example["made"]["value"]).reshape(-1, 4) @ [8, 4, 2, 1]
    log_p, log_start = log_probs(task, variables), log_probs(task, start)
    reward = Ink()(source.prepared, {"made": {"value": EVERY}})
    np.testing.assert_allclose(batch["reward"], reward[place], rtol=1e-5)
    np.testing.assert_allclose(batch["kl_nats"], (log_p - log_start)[place], atol=2e-5)
    returns = batch["reward"] - 0.3 * batch["kl_nats"]
    np.testing.assert_allclose(batch["advantage"], leave_one_out(returns, 4), atol=1e-5)
    assert np.abs(np.bincount(place, minlength=16) / 4096 - np.exp(log_p)).max() < 0.04
    exact_kl = float(jnp.sum(jnp.exp(log_p) * (log_p - log_start)))
    assert abs(float(batch["kl_nats"].mean()) - exact_kl) < 0.1 * exact_kl + 0.02
    other = jax.jit(source.next)(state, variables, jnp.int32(1), jnp.arange(4096))[0]
    assert not np.array_equal(other["trajectory"].actions, batch["trajectory"].actions)


def test_tuning_comes_to_the_known_optimum():
    """The best policy is the start tilted by exp(reward / kl), and its objective kl * log E_start[exp(reward / kl)]."""
    task, start = policy("rnn")
    tuning = ScoreFunction(Ink(), kl_coef=0.5, group=8)
    source, loss, optimiser = Samples.of(task, tuning, 256), TunedGame(task, tuning).loss, optax.adam(2e-2)
    state, reward = source.init(KEY, start.params), Ink()(Ink().prepare(SPEC), {"made": {"value": EVERY}})

    @jax.jit
    def tune(params, moments):
        def step(carry, number):
            params, moments = carry
            batch, _ = source.next(state, Variables(params), number, jnp.arange(256))
            gradient = jax.grad(lambda p: loss(Variables(p), batch, KEY)[0].value)(params)
            updates, moments = optimiser.update(gradient, moments, params)
            return (optax.apply_updates(params, updates), moments), None

        return jax.lax.scan(step, (params, moments), jnp.arange(150))[0][0]

    tuned = Variables(tune(start.params, optimiser.init(start.params)))
    begun, reached = (float(objective(task, v, start, reward, 0.5)) for v in (start, tuned))
    best = 0.5 * float(jax.nn.logsumexp(log_probs(task, start) + reward / 0.5))
    assert begun < reached <= best + 1e-4 and (reached - begun) / (best - begun) > 0.95


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda task: ScoreFunction(Ink(), kl_coef=-1.0), "rewards.kl_coef"),
        (lambda task: ScoreFunction(Ink(), group=1), "rewards.group"),
        (lambda task: ScoreFunction(Ink(), group=5).check(task, 64), "divide"),
        (lambda task: ClassProbability(10).prepare(pictures((8, 8, 1), levels=17, classes=10)), "give 0 to 9"),
        (lambda task: ClassProbability(1).prepare(SPEC), "8x8"),
        (lambda task: ScoreFunction(Ink()).check(object(), 64), "Pathwise"),
    ],
)
def test_a_users_mistake_is_told_in_a_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make(policy("rnn")[0])


@pytest.mark.parametrize("shape", [lambda rows: rows.mean(), lambda rows: rows.astype(int), lambda rows: (rows, rows)])
def test_a_reward_of_another_shape_is_refused_when_the_program_is_traced(shape):
    class Odd(Ink):
        def __call__(self, prepared, example):
            return shape(super().__call__(prepared, example))

    task, variables = policy("rnn")
    source = Samples.of(task, ScoreFunction(Odd(), group=4), 8)
    with pytest.raises(UserError, match=r"float \[8\]|8 floats"):
        jax.eval_shape(source.next, source.init(KEY, variables.params), variables, jnp.int32(0), jnp.arange(8))
