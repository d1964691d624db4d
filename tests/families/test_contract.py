"""One list of truths that all five families keep, in each of their tasks."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.layout import LaidOut
from jaxgen.core.masks import Everything, Matching, join, paths, split
from jaxgen.core.state import TrainState
from jaxgen.core.task import Critic, Likelihood, Policy, Reparameterised, Task, Turn, restrict
from jaxgen.rewards.reference import at_start
from jaxgen.rewards.tuned import Samples, TunedGame
from jaxgen.training.averages import EMA
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.step import init_state, make_game, take_step
from jaxgen.types import NO_PARTS, Variables
from tests.families.cases import (
    BATCH,
    BY_HAND,
    CASES,
    CLIPS,
    DIGITS,
    IDLE,
    KEY,
    PICTURES,
    PRIORS,
    PROMPTS,
    batch_of,
    every_case,
    fresh,
    lively,
    request_of,
    source_of,
    task_of,
    tuning_of,
)


def optimisers_of(task: Any, eps: float = 1e-8) -> dict[str, AdamW]:
    return {turn.name: AdamW(3e-3, eps=eps, weight_decay=0.1, clip=1.0) for turn in task.turns()}


def stepped(task: Any, variables: Variables, trainable: Any, source: Any, steps: int) -> tuple[TrainState, TrainState]:
    """The state before and after some steps on batches of `source` (a traced one, or one batch over and over)."""
    averages = {"slow": EMA(100.0)}
    game = make_game(task, variables.params, optimisers_of(task), averages, steps, BATCH, trainable)
    rows = jnp.arange(BATCH)
    if isinstance(source, dict):
        begun = init_state(game, KEY, start=variables)

        def draw(state, variables, number):
            return source, state
    else:
        begun = init_state(game, KEY, functools.partial(source.init, KEY), variables)

        def draw(state, variables, number):
            return source.next(state, variables, number, rows)

    step = jax.jit(lambda state: take_step(game, state, draw, lambda tree: tree, parts=variables.parts)[0])
    state = begun
    for _ in range(steps):
        state = step(state)
    return begun, state


def changed(before: Any, after: Any) -> dict[str, bool]:
    """A leaf's path -> whether a bit of it has changed."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return dict(zip(paths(before), (not np.array_equal(a, b) for a, b in pairs), strict=True))


def owned(trainable: Any, params: Any) -> set[str]:
    """The paths of the leaves that a mask lets move."""
    return {path for path, own in zip(paths(params), jax.tree.leaves(trainable(params)), strict=True) if own}


FIVE = [case for case in DIGITS if case not in BY_HAND]


@every_case
def test_it_holds_the_contracts(family):
    task = task_of(family)
    assert isinstance(task, Task) and isinstance(task, Likelihood | Critic | Reparameterised)
    assert isinstance(task, Policy) != isinstance(task, Reparameterised)


@every_case
def test_a_key_alone_initialises_it(family):
    first, again, other = (fresh(family, jax.random.key(seed)).params for seed in (0, 0, 1))
    assert not any(changed(first, again).values()) and any(changed(first, other).values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(first))


@every_case
def test_each_turn_moves_its_own_leaves_and_all_of_them(family):
    task, moved_by_some = task_of(family), set()
    for turn in task.turns():
        before, after = stepped(OneTurn(task, turn), lively(family), Everything(), batch_of(family), 2)
        moved = {path for path, has in changed(before.params, after.params).items() if has}
        assert moved == owned(turn.trainable, before.params) - IDLE.get(family, set())
        moved_by_some |= moved
    assert moved_by_some == set(paths(lively(family).params)) - IDLE.get(family, set())


@dataclass(frozen=True)
class OneTurn:
    """A task that is left one of its turns."""

    task: Any
    turn: Turn

    def init(self, key):
        return self.task.init(key)

    def rows(self, batch_size):
        return self.task.rows(batch_size)

    def turns(self):
        return (self.turn,)

    def absorb(self, shared, statistics):
        return self.task.absorb(shared, statistics)


@every_case
def test_one_batch_can_be_over_fitted(family):
    """With the noise held still every player's loss falls far below where it began.

    By few and small steps: a long fit at a high rate is chaotic, and ends differently on each processor.
    """
    task, variables = task_of(family), fresh(family)
    for turn in task.turns():
        mask = turn.trainable(variables.params)
        optimiser = AdamW(3e-3).build(1)

        def loss(moving, frozen, turn=turn):
            return turn.loss(variables.replace(params=join(moving, frozen)), batch_of(family), KEY)[0].value

        @jax.jit
        def step(moving, frozen, state, loss=loss, optimiser=optimiser):
            value, gradient = jax.value_and_grad(loss)(moving, frozen)
            updates, state = optimiser.update(gradient, state, moving)
            return jax.tree.map(jnp.add, moving, updates), state, value

        moving, frozen = split(variables.params, mask)
        state, values = optimiser.init(moving), []
        for _ in range(80):
            moving, state, value = step(moving, frozen, state)
            values.append(float(value))
        assert np.isfinite(values).all() and values[-1] < values[0] - 0.3 * abs(values[0]), (turn.name, values[::20])


@every_case
def test_the_same_key_draws_the_same_sample_whatever_is_drawn_beside_it(family):
    task = task_of(family)

    @functools.partial(jax.jit, static_argnums=0)
    def draw(count, key):
        return task.sample(lively(family), request_of(family, count), key)["made"]["value"]

    whole, again, part, other = draw(6, KEY), draw(6, KEY), draw(3, KEY), draw(6, jax.random.key(1))
    made = task.spec.made
    assert whole.shape == (6, *made.shape) and whole.dtype == made.arrays()["value"][1]
    assert np.array_equal(whole, again)
    assert np.array_equal(whole, other) == (family not in PICTURES | PROMPTS | CLIPS)  # a beam draws nothing
    np.testing.assert_allclose(np.float32(part), np.float32(whole[:3]), atol=1)
    assert np.mean(part == whole[:3]) > 0.98  # a rounding may fall the other way


@every_case
def test_padding_weighs_nothing_in_an_evaluation(family):
    task = task_of(family)
    evaluate = jax.jit(lambda batch: task.evaluate(lively(family), batch, KEY)[0])
    part = evaluate(batch_of(family, 8) | {"weight": jnp.ones(8)})
    padded = evaluate(batch_of(family) | {"weight": (jnp.arange(BATCH) < 8).astype(jnp.float32)})
    figures = task.finish(part)
    assert all(np.isfinite(value) for value in figures.values())
    for name, value in task.finish(padded).items():
        np.testing.assert_allclose(value, figures[name], rtol=1e-4, atol=1e-5, err_msg=name)


@every_case
def test_a_ragged_batch_weighs_its_rows(family):
    """A row of weight 0 changes neither a loss nor its gradient, whatever it holds."""
    task, variables = task_of(family), lively(family)
    weight = (jnp.arange(BATCH) < 8).astype(jnp.float32)
    for turn in task.turns():

        @jax.jit
        @jax.grad
        def gradient(params, batch, turn=turn):
            return turn.loss(variables.replace(params=params), batch, KEY)[0].total

        whole = batch_of(family) | {"weight": weight}
        part, ragged = (gradient(variables.params, batch) for batch in (batch_of(family, 8), whole))
        for path, a, b in zip(paths(part), jax.tree.leaves(part), jax.tree.leaves(ragged), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * float(np.abs(a).max()) + 1e-6, err_msg=path)


@pytest.mark.parametrize(
    "family",
    [
        *("gan", "vae", "vae-vq"),
        *(pytest.param(case, marks=pytest.mark.slow) for case in ("gan-clips", "vae-two-layers", "vae-hierarchy")),
    ],
)
def test_a_batch_of_one_is_a_larger_batch_of_the_same_example(family):
    """Loss, metrics and gradient of every turn, all of them finite: draws are by row, and a row's are the same ones."""
    task, variables = task_of(family), lively(family)
    one = batch_of(family, 1)
    three = jax.tree.map(lambda array: np.repeat(array, 3, axis=0), one)
    for turn in task.turns():

        @jax.jit
        @functools.partial(jax.value_and_grad, has_aux=True)
        def gradient(params, batch, turn=turn):
            mean, aux = turn.loss(Variables(params, variables.extra), batch, KEY)
            return mean.value, {name: metric.value for name, metric in aux.metrics.items()}

        (loss, metrics), alone = gradient(variables.params, one)
        (same, other), together = gradient(variables.params, three)
        assert np.isfinite(loss) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(alone))
        np.testing.assert_allclose(loss, same, rtol=1e-4)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), metrics, other)
        for path, a, b in zip(paths(alone), jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * float(np.abs(a).max()) + 1e-6, err_msg=path)


@every_case
def test_frozen_is_frozen_in_a_fine_tuning(family):
    task, trainable = task_of(family), Matching(CASES[family].last)
    before, after = stepped(task, lively(family), trainable, batch_of(family), 3)
    moving = owned(trainable, before.params)
    moved = {path for path, has in changed(before.params, after.params).items() if has}
    assert moved == moving - IDLE.get(family, set())
    assert moving != set(paths(before.params))
    assert set(paths(after.averages["slow"])) == moving  # what is frozen has no average beside itself
    for turn in restrict(task.turns(), trainable, before.params):
        moments = [leaf for leaf in jax.tree.leaves(after.opt_state[turn.name]) if leaf.ndim]
        own, _ = split(before.params, turn.trainable(before.params))
        assert sum(leaf.size for leaf in moments) == 2 * sum(leaf.size for leaf in jax.tree.leaves(own))


@pytest.mark.parametrize(
    "family", [pytest.param(case, marks=[pytest.mark.slow] * (case not in FIVE)) for case in DIGITS]
)
def test_under_a_reward_the_start_is_kept_and_what_is_frozen_stays(family):
    task, tuning = task_of(family), tuning_of(family)
    trainable = Matching(CASES[family].last.removeprefix("^discriminator/|"))
    source = Samples.of(task, tuning, BATCH)
    before, after = stepped(TunedGame(task, tuning), lively(family), trainable, source, 2)
    moving = owned(trainable, before.params)
    assert {path for path, has in changed(before.params, after.params).items() if has} == moving
    assert not any(changed(before.source["start"], after.source["start"]).values())
    assert set(paths(after.source["start"])) == moving
    start = at_start(after.source, after.variables)
    assert not any(changed(start.params, before.params).values())


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(case, marks=[pytest.mark.slow] * (case in BY_HAND and case not in DIGITS))
        for case in DIGITS | PROMPTS | PRIORS
    ],
)
def test_a_score_is_the_rollouts_and_a_draw_the_samples(family):
    task, variables, labelled = task_of(family), lively(family), request_of(family, BATCH)
    if isinstance(task, Policy):
        for request in ({"row": jnp.arange(BATCH)}, labelled):
            trajectory = jax.jit(lambda request: task.rollout(variables, request, KEY))(request)
            score = jax.jit(task.score)(variables, trajectory)
            assert score.shape == trajectory.log_prob.shape and score.shape[0] == BATCH
            np.testing.assert_allclose(score, trajectory.log_prob, rtol=1e-5, atol=1e-5 * float(np.abs(score).max()))
            assert trajectory.example["made"]["value"].dtype == jnp.uint8
    else:
        drawn, sampled = (
            jax.jit(lambda how=how: how(variables, labelled, KEY))()["made"]["value"]
            for how in (task.draw, task.sample)
        )
        assert np.mean(np.abs(drawn - np.float32(sampled)) < 1e-3) > 0.99
        if family in PICTURES:
            free = jax.jit(task.draw)(variables, {"row": jnp.arange(400)}, KEY)["given"]["class"]["value"]
            assert np.bincount(free, minlength=10).min() > 15  # of classes drawn evenly


def trained(
    task: Any, parallel: Parallel, source: Any, eps: float = 1e-8, start: Variables | None = None
) -> tuple[dict[str, Any], TrainState]:
    """Metrics of two calls, and the state as one copy after them, of the compiled program.

    From fresh variables, or from those of `start`, which has the task's parts.
    """
    parts = start.parts if start else NO_PARTS
    devices = parallel.place(BATCH, task.layout() if isinstance(task, LaidOut) else ())
    shapes = jax.eval_shape(task.init, KEY)
    game = make_game(task, shapes.params, optimisers_of(task, eps), {"slow": EMA(100.0)}, 4, BATCH)
    state = devices.begin(
        lambda key, start: init_state(game, key, functools.partial(source.init, KEY), start),
        KEY,
        start and start.replace(parts=NO_PARTS),
    )
    feed, laid_parts = devices.put_feed(source, traced=True), devices.put_parts(parts)
    program = devices.lower(game, state, feed, True, True, laid_parts).compile()
    metrics = []
    for _ in range(2):
        state, more = program(state, feed, np.int32(1), *([laid_parts] if parts else []))
        metrics.append(jax.device_get(more))
    return metrics, jax.device_get(devices.fetch(state).params)


WAYS = {
    "jit on four devices": Parallel(data=4),
    "pmap": Parallel(compiler=Compiler.PMAP, data=4),
    "jit over parameters": Parallel(data=1, fsdp=2, tensor=2),
}


@pytest.mark.parametrize(
    ("family", "rewarded"),
    [
        *(
            pytest.param(family, False, id=f"{family}-data", marks=[pytest.mark.slow] * (family not in FIVE))
            for family in CASES
        ),
        *(pytest.param(family, True, id=f"{family}-reward") for family in ("rnn", "gan")),
        *(
            pytest.param(family, True, id=f"{family}-reward", marks=pytest.mark.slow)
            for family in ("transformer", "vae", "diffusion")
        ),
    ],
)
def test_any_number_of_devices_does_the_same(family, rewarded, request):
    """Law 2, the second call's losses included: with an eps that lets Adam enlarge no rounding."""
    task = task_of(family)
    if rewarded:
        tuning = tuning_of(family)
        source, task = Samples.of(task, tuning, BATCH), TunedGame(task, tuning)
    else:
        source = source_of(family)
    # to a fresh prior all codes are as likely, and the sum of so many equal terms is rounded one way only
    start = lively(family) if family in PRIORS else None
    metrics, params = trained(task, Parallel(data=1), source, 1.0, start)
    # by default one family of one turn and one of two stand for pmap, which runs the same step; by hand all do. A mesh
    # of several axes is for by hand alone: on fewer cores than devices XLA's CPU collectives may wait for each other
    every = request.config.option.markexpr != "not slow"
    most = len(WAYS) if every else 2 if family in ("rnn", "gan") and not rewarded else 1
    for way, parallel in list(WAYS.items())[:most]:
        other_metrics, other_params = trained(task, parallel, source, 1.0, start)
        for step, others in zip(metrics, other_metrics, strict=True):
            for name in step:
                if name.split("/")[-1] in ("loss", "reward"):
                    a, b = float(step[name].value), float(others[name].value)
                    scale = max(abs(a), 1.0)  # a policy's loss is a difference of large numbers
                    assert abs(a - b) < 1e-6 * scale, (way, name, a, b)
        for path, a, b in zip(paths(params), jax.tree.leaves(params), jax.tree.leaves(other_params), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6, err_msg=f"{way} {path}")


@every_case
def test_a_state_is_restored_bit_for_bit(family, tmp_path):
    task = task_of(family)
    game = make_game(task, lively(family).params, optimisers_of(task), {"slow": EMA(100.0)}, 1, BATCH)
    state = jax.jit(lambda: init_state(game, KEY, lambda moving: jax.random.key(5), lively(family)))()
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state, {})
    checkpoints.wait()
    restored, _ = checkpoints.restore(jax.eval_shape(lambda: state), print)
    checkpoints.close()
    plain = [jax.tree.map(np.asarray, s.replace(key=jax.random.key_data(s.key), source=0)) for s in (state, restored)]
    assert not any(changed(*plain).values())
