"""What bounces is where a simulation, step by step, finds it; a placed picture is there and nowhere else."""
# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.ops.motion import bounced, placed

ROOM, STEPS = 37, 40
_cases = st.lists(st.tuples(st.integers(0, ROOM), st.integers(-2 * ROOM, 2 * ROOM)), min_size=8, max_size=8)


def step(position: int, speed: int) -> tuple[int, int]:
    """One frame further, one pixel after the other, turned around at each wall."""
    for _ in range(abs(speed)):
        position += 1 if speed > 0 else -1
        if position in (0, ROOM):
            speed = -speed
    return position, speed


@settings(max_examples=30)
@given(_cases)
def test_the_closed_form_is_the_simulation(cases):
    start, speed = np.array(cases).T
    found = bounced(jnp.asarray(start), jnp.asarray(speed), jnp.arange(STEPS)[:, None], ROOM)
    position, velocity = map(np.asarray, found)
    for column, (at, moving) in enumerate(cases):
        if (at == ROOM and moving > 0) or (at == 0 and moving < 0):
            moving = -moving  # it begins at the wall that it flies against
        for frame in range(STEPS):
            assert (int(position[frame, column]), int(velocity[frame, column])) == (at, moving)
            at, moving = step(at, moving)


def test_a_picture_lies_at_its_corner_and_nowhere_else():
    picture = jnp.arange(1, 7).reshape(2, 3, 1)
    for row in range(4):
        for column in range(3):
            expected = np.zeros((5, 5, 1), int)
            expected[row : row + 2, column : column + 3] = picture
            assert np.array_equal(placed(picture, jnp.array([row, column]), 5), expected)
