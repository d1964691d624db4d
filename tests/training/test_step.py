"""Laws 2 and 4: one step is the same function on any devices, and what is frozen stays bit-identical."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import numpy as np
import pytest

from jaxgen.core.masks import Everything, Matching, paths
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Adafactor, AdamW, Muon
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.schedules import Cosine
from jaxgen.training.step import Game, init_state, make_game, take_step
from tests.worlds import Duel, Histogram

BATCH = 24
ADAM = AdamW(Cosine(1e-2, warmup=2), weight_decay=0.1, clip=0.5)
PLAYERS = (ADAM, AdamW(1e-2, weight_decay=0.1))
WHOLE_LEAVES = (Muon(1e-2, weight_decay=0.1), Adafactor(1e-2, factored_from=3, clip=0.5))  # rules that look at these


def duel(trainable=Everything(), players=PLAYERS, **how) -> Game:
    task = Duel().sized(Pictures().spec())
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    optimisers = dict(zip(("left", "right"), players, strict=True))
    return make_game(task, shapes.params, optimisers, {"slow": EMA(500.0)}, 20, BATCH, trainable, **how)


@functools.cache
def built(parallel: Parallel, trainable, loops: bool, players: tuple):
    """The compiled program of a duel; most tests share one."""
    game, devices, source = duel(trainable, players), parallel.place(BATCH), Pictures(batch_size=BATCH).source()
    init = jax.jit(lambda key, source: init_state(game, key, lambda moving: source))
    feed, key = devices.put_feed(source, traced=True), source.init(jax.random.key(9), None)
    state = devices.put_state(init(jax.random.key(0), key))
    return init, key, devices, feed, devices.lower(game, state, feed, traced=True, loops=loops).compile()


@functools.cache
def trained(parallel: Parallel, counts=(3, 4), trainable=Everything(), loops=True, players=PLAYERS):
    """The first parameters, the state after some calls as host arrays, and the last call's metrics."""
    init, key, devices, feed, program = built(parallel, trainable, loops, players)
    state = init(jax.random.key(0), key)
    first = jax.tree.map(np.asarray, state.params)
    state = devices.put_state(state)
    for count in counts:
        state, metrics = program(state, feed, np.int32(count))
    state = devices.fetch(state)
    plain = jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key), source=None))
    return first, plain, {name: float(mean.value) for name, mean in metrics.items()}


@pytest.mark.parametrize(
    "parallel",
    [
        Parallel(data=2),
        Parallel(data=4),
        Parallel(data=2, fsdp=2),
        Parallel(data=2, tensor=2),
        Parallel(compiler=Compiler.PMAP, data=1),
        Parallel(compiler=Compiler.PMAP, data=4),
    ],
    ids=str,
)
def test_one_device_many_devices_and_pmap_take_the_same_steps(parallel):
    """Ragged weights, noise, rows, shared state, two players and an average included."""
    _, one, metrics = trained(Parallel(data=1))
    _, many, metrics_of_many = trained(parallel)
    for path, a, b in zip(paths(one), jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6, err_msg=path)
    assert metrics == pytest.approx(metrics_of_many, rel=2e-6)


@pytest.mark.parametrize(
    "parallel", [Parallel(data=2, fsdp=2), Parallel(compiler=Compiler.PMAP, data=4)], ids=str
)
def test_rules_that_look_at_whole_leaves_agree_on_any_devices(parallel):
    _, one, _ = trained(Parallel(data=1), players=WHOLE_LEAVES)
    _, many, _ = trained(parallel, players=WHOLE_LEAVES)
    for path, a, b in zip(paths(one), jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6, err_msg=path)


def test_calls_of_any_lengths_end_in_the_same_bits():
    _, seven, _ = trained(Parallel(data=2), counts=(7,))
    _, cut, _ = trained(Parallel(data=2), counts=(1, 4, 2))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(seven), jax.tree.leaves(cut), strict=True))


def test_stepping_from_the_host_is_the_loop_within_rounding():
    _, loop, _ = trained(Parallel(data=2), counts=(3,))
    _, steps, _ = trained(Parallel(data=2), counts=(1, 1, 1), loops=False)
    for a, b in zip(jax.tree.leaves(loop), jax.tree.leaves(steps), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_frozen_leaves_are_bit_identical_and_have_no_optimiser_state_and_no_average():
    first, state, _ = trained(Parallel(data=2), trainable=Matching("kernel"))
    for player in ("left", "right"):
        assert np.array_equal(first[player]["bias"], state.params[player]["bias"])
        assert not np.array_equal(first[player]["kernel"], state.params[player]["kernel"])
    assert not any("bias" in path for path in paths(state.opt_state) + paths(state.averages))


def test_the_clip_norm_is_of_the_moving_leaves_alone():
    """With a clip far below the gradient's norm, Adam's first moment is what the moving half alone was clipped to."""
    _, state, _ = trained(Parallel(data=1), counts=(1,), trainable=Matching("left/bias|right"))
    clipped = state.opt_state["left"][1][0].mu["left"]["bias"]
    # two clipped gradients of norm 0.5: mu = 0.9 * 0.1 g1 + 0.1 g2, of norm at most 0.095 and near it
    assert 0.02 < np.linalg.norm(clipped) <= 0.095 + 1e-6


def test_a_step_learns_from_the_augmented_batch_and_draws_anew_in_the_next():
    """The losses of two steps from the same parameters are those of batches augmented under the keys of these steps."""
    data = Pictures(batch_size=BATCH, flip=True, crop=2)
    task = Histogram().sized(data.spec())
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    game = make_game(task, shapes.params, {"histogram": ADAM}, {}, 20, BATCH, augment=data.augment)
    state = init_state(game, jax.random.key(0))
    batch = data.first("train", BATCH) | {"row": np.arange(BATCH, dtype=np.int32)}
    step = jax.jit(lambda state: take_step(game, state, lambda *_: (batch, None), lambda tree: tree)[1]["loss"].value)
    loss = jax.jit(lambda batch: task.loss(state.variables, batch, None)[0].value)
    keys = [jax.random.fold_in(jax.random.fold_in(state.key, 2**31), number) for number in range(2)]
    expected = [float(loss(data.augment(batch, key))) for key in keys]
    found = [float(step(state.replace(step=np.int32(number)))) for number in range(2)]
    assert found == pytest.approx(expected, rel=1e-6)
    assert len({round(value, 3) for value in (*expected, float(loss(batch)))}) == 3


def test_each_turn_moves_its_own_leaves_and_repeats():
    game = duel()
    assert game.draws == 3
    _, state, _ = trained(Parallel(data=1), counts=(4,))
    counts = {path: leaf for path, leaf in zip(paths(state.opt_state), jax.tree.leaves(state.opt_state), strict=True)}
    left = [int(leaf) for path, leaf in counts.items() if path.startswith("left") and path.endswith("count")]
    right = [int(leaf) for path, leaf in counts.items() if path.startswith("right") and path.endswith("count")]
    assert set(left) == {8} and set(right) == {4}


def test_statistics_are_summed_over_the_whole_batch_once_a_turn():
    _, state, _ = trained(Parallel(compiler=Compiler.PMAP, data=4), counts=(2,))
    weights = sum(row % 3 for row in range(BATCH))
    assert float(state.extra.shared["seen"]) == 2 * 3 * weights


def test_a_turn_that_may_move_nothing_is_dropped():
    assert [turn.name for turn in duel(Matching("^left")).turns] == ["left"]


def test_a_pattern_that_matches_nothing_names_the_nearest_paths():
    with pytest.raises(UserError, match=r"matches no parameter; did you mean 'left/kernel'"):
        duel(Matching("left/kernal"))


@pytest.mark.parametrize(
    ("optimisers", "sentence"),
    [
        ({"left": ADAM}, "has none for the turn 'right'"),
        ({"left": ADAM, "rihgt": ADAM, "right": ADAM}, "'rihgt', which is no turn of this task; did you mean 'right'"),
    ],
)
def test_optimisers_must_name_the_turns(optimisers, sentence):
    task = Duel().sized(Pictures().spec())
    with pytest.raises(UserError, match=sentence):
        make_game(task, jax.eval_shape(task.init, jax.random.key(0)).params, optimisers, {}, 1, BATCH)
