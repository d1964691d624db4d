"""Things that fly straight and bounce off walls: where they are at any time, in closed form, and how that looks."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp


def bounced(start: jax.Array, speed: jax.Array, time: jax.Array, room: int) -> tuple[jax.Array, jax.Array]:
    """Position and speed at `time` of what began at `start` in 0 .. `room` and is thrown back by both ends.

    Whole numbers of any unit, so that all of it is exact: the free path, folded. What would have flown on through a
    row of mirrored rooms, to p = start + speed·time, is |p - room| away from the wall `room`, p being taken modulo
    2·room, and flies backwards in every second room. At a wall the speed is the one after the bounce.
    """
    path = jnp.mod(start + speed * time, 2 * room)
    ahead = jnp.where(speed > 0, path < room, (path > 0) & (path <= room))
    return room - jnp.abs(path - room), jnp.where(ahead, speed, -speed)


def placed(picture: jax.Array, corner: jax.Array, size: int) -> jax.Array:
    """[size, size, C] the picture [h, w, C] with its upper left pixel at `corner` (row, column), zeros around it."""
    height, width, _ = picture.shape
    rows, columns = (jnp.arange(size) - corner[axis] for axis in range(2))
    rows, columns = jnp.where(rows < 0, height, rows), jnp.where(columns < 0, width, columns)  # not from the end
    return picture.at[rows[:, None], columns].get(mode="fill", fill_value=0)
