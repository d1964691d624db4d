"""Recordings changed a little each time that they are trained on: noise, another gain, a room."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError
from jaxgen.ops.acoustics import coloured_noise, in_rooms, with_noise
from jaxgen.ops.rows import uniform
from jaxgen.types import Arrays, Key


@dataclass(frozen=True)
class Surroundings:
    """In this order: a room in `room` of all rows, noise at a ratio even on `noise_db`, a gain even on +-`gain_db`."""

    noise_db: tuple[float, float] | None = (5.0, 40.0)  # signal to noise; None: no noise
    room: float = 0.5  # the probability that a recording is heard in a room
    gain_db: float = 6.0

    def __post_init__(self):
        if self.noise_db is not None and not self.noise_db[0] <= self.noise_db[1]:
            raise UserError(f"surroundings.noise_db is {self.noise_db}; give the lowest ratio and the highest, or none")
        if not 0 <= self.room <= 1 or self.gain_db < 0:
            raise UserError(
                f"surroundings.room is {self.room} and gain_db {self.gain_db}; give a probability, and 0 or more"
            )

    def __call__(self, wave: Arrays, key: Key, row: jax.Array, rate: int) -> dict[str, jax.Array]:
        """The arrays of a wave with its "value" [B, N] changed; what lies beyond a row's own samples stays zero."""
        value, length = wave["value"], wave["length"]
        room_key, noise_key, ratio_key, gain_key = jax.random.split(key, 4)
        if self.room:
            value = in_rooms(value, length, room_key, row, rate, self.room)
        if self.noise_db is not None:
            low, high = self.noise_db
            ratio = low + (high - low) * uniform(ratio_key, row, ())
            value = with_noise(value, length, coloured_noise(noise_key, row, value.shape[1]), ratio)
        if self.gain_db:
            value *= 10 ** (self.gain_db * (2 * uniform(gain_key, row, ()) - 1) / 20)[:, None]
        return {**wave, "value": jnp.clip(value, -1.0, 1.0)}
