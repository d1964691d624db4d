"""Samples drawn for prompts: which ones, and a gradient that is the objective's over all of them."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.masks import paths
from jaxgen.core.task import Prompted, Trajectory
from jaxgen.errors import UserError
from jaxgen.ops.advantages import leave_one_out
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.score_function import Baseline, ScoreFunction
from jaxgen.rewards.tuned import Samples, TunedGame
from jaxgen.types import Variables
from tests.rewards.translators import END, EVERY, EXAMPLES, PROMPTS, SOURCES, SPEC, Agreement, log_probs, translator

KEY = jax.random.key(0)


def of(prompts, number, rows, batch_size=8, group=4):
    return np.asarray(prompts.drawn(KEY, jnp.int32(number), jnp.asarray(rows), batch_size, group)["reference"]["value"])


def test_a_group_shares_a_prompt_and_an_epoch_is_every_example_once():
    six = {"given": {"source": {"value": np.zeros((6, 3)), "mask": np.zeros((6, 3))}}, "made": {}}
    six["made"] = {"value": np.arange(6), "mask": np.arange(6), "bytes": np.arange(6)}
    prompts = Prompts.of(SPEC, six)
    assert set(prompts.made) == {"value", "mask"}
    batches = [of(prompts, number, np.arange(8)) for number in range(6)]
    for batch in batches:
        assert len(set(batch[:4])) == len(set(batch[4:])) == 1
    firsts = np.stack([batch[::4] for batch in batches]).reshape(2, 6)
    assert all(sorted(epoch.tolist()) == list(range(6)) for epoch in firsts)
    assert not np.array_equal(*firsts)  # every epoch has an order of its own
    halves = [of(prompts, 1, rows) for rows in (np.arange(4), np.arange(4, 8))]
    assert np.array_equal(np.concatenate(halves), batches[1])
    apart = of(Prompts.of(SPEC, six, each=1), 0, np.arange(6), 6)
    assert sorted(apart.tolist()) == list(range(6))


def test_a_task_that_needs_a_prompt_says_so_and_each_group_is_drawn_for_its_own():
    task, variables = translator()
    assert isinstance(task, Prompted) and task.needs_given
    source = Samples.of(task, ScoreFunction(Agreement(), kl_coef=0.3, group=4), 16, PROMPTS)
    state = source.init(KEY, variables.params)
    batch, _ = jax.jit(source.next)(state, variables, jnp.int32(0), jnp.arange(16))
    given = np.asarray(batch["example"]["given"]["source"]["value"]).reshape(4, 4, 3)
    assert (given == given[:, :1]).all()
    place = [next(n for n, source in enumerate(SOURCES) if np.array_equal(source, group[0])) for group in given]
    assert len(set(place)) == 4
    reference = {"value": EXAMPLES["made"]["value"][np.repeat(place, 4)]}
    reward = Agreement()({}, batch["example"] | {"reference": reference})
    np.testing.assert_allclose(batch["reward"], reward, rtol=1e-6)
    returns = batch["reward"] - 0.3 * batch["kl_nats"]
    np.testing.assert_allclose(batch["advantage"], leave_one_out(returns, 4), atol=1e-6)


def test_the_greedy_baseline_is_the_reward_of_the_likeliest_token_after_the_likeliest_tokens():
    """Built here token by token out of the probabilities of all seven sequences."""
    (task, variables), (_, start) = translator(), translator(8)
    tuning = ScoreFunction(Agreement(), kl_coef=0.3, group=4, baseline=Baseline.GREEDY)
    source = Samples.of(task, tuning, 16, PROMPTS)
    batch, _ = jax.jit(source.next)(source.init(KEY, start.params), variables, jnp.int32(0), jnp.arange(16))
    given = np.asarray(batch["example"]["given"]["source"]["value"])
    for row in range(16):
        place = next(n for n, one in enumerate(SOURCES) if np.array_equal(one, given[row]))
        likely, alive = np.exp(log_probs(task, variables, place)), np.arange(len(EVERY))
        for token in range(1, EVERY.shape[1]):
            mass = [likely[alive][EVERY[alive, token] == which].sum() for which in range(END + 1)]
            alive = alive[EVERY[alive, token] == np.argmax(mass)]
        (greedy,) = alive
        told = {"made": {"value": EVERY[[greedy]]}, "reference": {"value": EXAMPLES["made"]["value"][[place]]}}
        expected = Agreement()({}, told | {"given": {"source": {"value": given[row : row + 1]}}})[0]
        returned = batch["reward"][row] - 0.3 * batch["kl_nats"][row]
        np.testing.assert_allclose(batch["advantage"][row], returned - expected, atol=1e-5)
    ScoreFunction(Agreement(), group=1, baseline=Baseline.GREEDY)  # which the others' mean could not do
    with pytest.raises(UserError, match="2 or more"):
        ScoreFunction(Agreement(), group=1)


def test_the_mean_gradient_over_all_groups_of_two_prompts_is_the_exact_one():
    """For each prompt every pair of sequences as a group of two, weighed by how likely the policy draws it."""
    (task, variables), (_, start) = translator(), translator(8)
    tuning, chosen, count = ScoreFunction(Agreement(), kl_coef=0.3, group=2), (1, 3), len(EVERY)

    def given_of(rows):
        return jax.tree.map(lambda array: jnp.asarray(array)[rows], EXAMPLES["given"])

    def rewards(prompt):
        rows = np.full(count, prompt)
        reference = {"value": EXAMPLES["made"]["value"][rows]}
        return Agreement()({}, {"given": given_of(rows), "made": {"value": EVERY}, "reference": reference})

    @jax.jit
    @jax.grad
    def exact_gradient(params):
        total = 0.0
        for prompt in chosen:
            log_p, log_start = log_probs(task, Variables(params), prompt), log_probs(task, start, prompt)
            total += jnp.sum(jnp.exp(log_p) * (rewards(prompt) - 0.3 * (log_p - log_start)))
        return total / len(chosen)

    pair = np.array(list(itertools.product(range(count), repeat=2))).reshape(-1)
    advantage = []
    for prompt in chosen:
        log_p = log_probs(task, variables, prompt)
        np.testing.assert_allclose(jnp.exp(log_p).sum(), 1.0, rtol=1e-5)
        returns = rewards(prompt) - 0.3 * (log_p - log_probs(task, start, prompt))
        likely = jnp.exp(log_p)[pair].reshape(-1, 2).prod(axis=1).repeat(2)
        advantage.append(leave_one_out(returns[pair], 2) * likely * count**2)
    rows = np.repeat(chosen, len(pair))
    tokens = np.tile(EVERY[pair], (2, 1))
    request = {"row": np.arange(len(rows)), "given": given_of(rows)}
    trajectory = Trajectory(request, tokens, jnp.zeros((len(rows), 3)), {"given": request["given"], "made": {}})
    nothing = jnp.zeros(len(rows))
    batch = {"trajectory": trajectory, "advantage": jnp.concatenate(advantage), "reward": nothing, "kl_nats": nothing}
    loss = TunedGame(task, tuning).loss
    gradient = jax.jit(jax.grad(lambda params: loss(Variables(params), batch, KEY)[0].value))(variables.params)
    exact = exact_gradient(variables.params)
    for path, a, b in zip(paths(exact), jax.tree.leaves(exact), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(-b, a, rtol=1e-3, atol=2e-6, err_msg=path)
