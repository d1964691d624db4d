"""What is given read window by window, and tokens made of it meanwhile (core.task.TranslatesWhileReading).

It belongs to no family and no one task: a network of encoder and decoder says how it reads a window.
"""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.task import Window
from jaxgen.families.token_samplers import BeamSearch, TokenSampler
from jaxgen.nn.conditions import Sequence, sequence_of, sequence_places
from jaxgen.nn.multi_head_attention import Wait
from jaxgen.nn.stems import SpeechStem
from jaxgen.types import Batch, Spec, Variables

Reading = dict[str, Any]  # what was read so far, "memory" what the decoder has of it; every leaf with the batch leading
Carry = Any  # what the decoder keeps of the tokens so far; every leaf with the batch leading


class WhileReading:
    """The likeliest tokens under wait-k, made as soon as what they may see was read; as `sample` makes them at width 1.
    """

    network: Any
    sampler: BeamSearch | TokenSampler
    stride: int
    spec: Spec | None
    length: int
    end: int

    @property
    def reads(self) -> int | None:
        """The places of what is given that are read at a time; None where all of it is needed at once."""
        return self.network.reads

    @property
    def room(self) -> int:
        """The places that what is given has at most."""
        return sequence_places(self.spec, self.network.stem)

    @property
    def window(self) -> Window | None:
        """What is read of a recording at a time; None where it is needed whole, and over what is no recording."""
        stem = self.network.stem
        return window_of(stem, self.reads) if self.reads and isinstance(stem, SpeechStem) else None

    def wanted(self, place: int) -> int | None:
        """How many places given the token at `place` waits for; None for all of them."""
        k = self.sampler.wait_k
        return None if k is None else (place + k) * self.stride

    def begin(self, batch_size: int) -> Reading:
        """The state before the first window."""
        k = self.sampler.wait_k
        wait = None if k is None else Wait(jnp.full(batch_size, k, jnp.int32), self.stride)
        return self.network.begin(batch_size, self.room, wait)

    def read(self, variables: Variables, values: jax.Array, own: jax.Array, reading: Reading) -> Reading:
        """The state after a window: tokens [B, reads], of which some are a row's own, or samples and whole frames.

        Of a recording `values` [B, window.samples] and `own` [B, (window.places + 1) * window.frames].
        """
        return self.network.apply({"params": variables.params}, Sequence(values, own), reading, method="read")

    def whole(self, variables: Variables, request: Batch) -> Reading:
        """The state after all that a request gives, of a network that needs it at once."""
        given = sequence_of(self.spec, request)
        return {"memory": self.network.apply({"params": variables.params}, given, method="encode")}

    def first(self, reading: Reading) -> Carry:
        """What the decoder begins with, once what its first token sees was read."""
        return self.network.carry(reading["memory"], 1, self.length)

    def following(
        self, variables: Variables, reading: Reading, token: jax.Array, place: jax.Array, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """The likeliest token [B] at `place` after `token` [B], under what was read; the state after it."""
        memory = reading["memory"]
        logits, carry = self.network.apply({"params": variables.params}, memory, token, carry, method="step")
        token = jnp.where(place == self.length - 1, self.end, jnp.argmax(logits, axis=-1))
        return token.astype(jnp.int32), carry


def window_of(stem: SpeechStem, places: int) -> Window:
    """What a stem is given at a time to tell so many places."""
    log_mel = stem.log_mel
    return Window(places, stem.subsampling, log_mel.step, log_mel.samples, stem.rate)
