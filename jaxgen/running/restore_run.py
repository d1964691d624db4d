"""Several restorations of one picture by a run: one after another, their mean and how far they spread."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.restoration import Damaged, Restoration, Restores
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import Work
from jaxgen.running.bounded import Stopped, fits
from jaxgen.running.trained import Trained


@dataclass(frozen=True)
class Restored:
    """The mean [H, W, C] of the restorations in [-1, 1], and their standard deviation where they are several."""

    mean: np.ndarray
    spread: np.ndarray | None


def restoration_by(trained: Trained, damaged: Damaged) -> Restoration:
    """UserError where the run's model is no prior of pictures, or cannot restore this one."""
    task = trained.assembly.task
    if not isinstance(task, Restores):
        raise UserError(f"a {type(task).__name__} restores no pictures; give the --workdir of a diffusion model")
    return task.restoration(damaged)


def restored(
    trained: Trained, restoration: Restoration, count: int, seed: int, stopped: Callable[[], bool]
) -> Restored:
    """`count` restorations by one compiled program of a step. Stopped where that is asked for, between two steps."""
    if count < 1:
        raise UserError(f"--count is {count}; give at least 1")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed is {seed}; give a number from 0 to {2**32 - 1}")
    key, advance = jax.random.key(seed), _compiled(trained, restoration)
    begin = jax.jit(restoration.begin)
    mean, squares = 0.0, 0.0  # Welford's sums: no more than one restoration is held
    with Work(count * restoration.steps, "calls of the network") as work:
        for number in range(count):
            row = _rows(restoration, number)
            x = begin(restoration.arguments, key, row)
            for step in range(restoration.steps):
                if stopped():
                    raise Stopped
                x = advance(trained.variables, restoration.arguments, x, jnp.int32(step), key, row)
                x.block_until_ready()  # so that a stop is answered, and the rate is true
                work.done(number * restoration.steps + step + 1)
            picture = np.clip(np.asarray(restoration.picture(x)), -1, 1)
            off = picture - mean
            mean = mean + off / (number + 1)
            squares = squares + off * (picture - mean)
    return Restored(np.asarray(mean), np.sqrt(squares / (count - 1)) if count > 1 else None)


def _rows(restoration: Restoration, number: int) -> jax.Array:
    return number * restoration.rows + jnp.arange(restoration.rows)


def _compiled(trained: Trained, restoration: Restoration) -> Callable[..., jax.Array]:
    """The program of a step; UserError where it needs more memory than there is."""
    key, row = jax.random.key(0), _rows(restoration, 0)
    x = jax.eval_shape(restoration.begin, restoration.arguments, key, row)
    arguments = trained.variables, restoration.arguments, x, jnp.int32(0), key, row
    program = jax.jit(restoration.advance, donate_argnums=2).lower(*arguments).compile()
    if not fits(program):
        needed = program.memory_analysis().temp_size_in_bytes / 2**30
        raise UserError(f"this picture takes {needed:.1f} GiB beside the model; scale it down, or cut it into parts")
    return program
