"""What a microphone adds to a voice: noise at a signal-to-noise ratio, another gain, a room; row by row.

    SNR = 10 log10 (sum x^2 / sum n^2), dB, both over a row's own samples
    h(t) = δ(t) + g w(t) exp(-3 ln(10) t / T60), w white: a room's impulse response after J. D. Polack (1988)
"""
# SPDX-License-Identifier: Apache-2.0

import math

import jax
import jax.numpy as jnp

from jaxgen.ops.rows import draw, normal, uniform

_REVERBERATION = (0.1, 0.5)  # T60, seconds: how long a room's sound takes to fall by 60 dB
_DIRECT = (0.0, 12.0)  # dB by which the direct sound is above the room's
_TAIL = 0.25  # seconds of an impulse response that are computed


def own_samples(wave: jax.Array, length: jax.Array) -> jax.Array:
    """[B, N] true at the first `length` [B] samples."""
    return jnp.arange(wave.shape[1]) < length[:, None]


def coloured_noise(key: jax.Array, row: jax.Array, samples: int) -> jax.Array:
    """[B, samples] Gaussian noise whose power falls with frequency as f^-a: a even on 0 (white) .. 1 (pink) by row."""
    colour_key, noise_key = jax.random.split(key)
    size = _fast_size(samples)
    bins = size // 2 + 1
    parts = normal(noise_key, row, (2, bins))
    exponent = uniform(colour_key, row, ())[:, None]  # a
    shape = jnp.maximum(jnp.arange(bins, dtype=jnp.float32), 1.0) ** (-exponent / 2) * (jnp.arange(bins) > 0)
    return jnp.fft.irfft(jax.lax.complex(parts[:, 0] * shape, parts[:, 1] * shape), size)[:, :samples]


def with_noise(wave: jax.Array, length: jax.Array, noise: jax.Array, snr_db: jax.Array) -> jax.Array:
    """[B, N]: `noise` [B, N] added to each row's own samples at `snr_db` [B]; a silent row stays silent."""
    noise = jnp.where(own_samples(wave, length), noise, 0.0)
    power, other = (wave**2).sum(axis=1), (noise**2).sum(axis=1)
    scale = jnp.sqrt(power / jnp.where(other > 0, other, 1.0) * 10 ** (-snr_db / 10))
    return wave + scale[:, None] * noise


def room_response(key: jax.Array, row: jax.Array, rate: int) -> jax.Array:
    """[B, R] an impulse response of each row's own: the direct sound, 1, and a decaying tail."""
    time_key, direct_key, tail_key = jax.random.split(key, 3)
    count = round(_TAIL * rate)
    time = jnp.arange(count, dtype=jnp.float32) / rate  # [R] seconds
    low, high = _REVERBERATION
    t60 = low + (high - low) * uniform(time_key, row, ())[:, None]
    tail = normal(tail_key, row, (count,)) * jnp.exp(-3 * math.log(10) * time / t60) * (time > 0)
    low, high = _DIRECT
    ratio = low + (high - low) * uniform(direct_key, row, ())[:, None]
    tail *= jnp.sqrt(10 ** (-ratio / 10) / (tail**2).sum(axis=1, keepdims=True))
    return tail.at[:, 0].set(1.0)


def convolved(wave: jax.Array, response: jax.Array) -> jax.Array:
    """[B, N] the first N samples of each row's convolution with its `response` [B, R], by the Fourier transform."""
    samples = wave.shape[1]
    size = _fast_size(samples + response.shape[1] - 1)
    product = jnp.fft.rfft(wave, size) * jnp.fft.rfft(response, size)
    return jnp.fft.irfft(product, size)[:, :samples]


def in_rooms(
    wave: jax.Array, length: jax.Array, key: jax.Array, row: jax.Array, rate: int, probability: float
) -> jax.Array:
    """[B, N]: a row in `probability` of all is heard in a room of its own, as loud as before and no longer."""
    chosen_key, room_key = jax.random.split(key)
    heard = jnp.where(own_samples(wave, length), convolved(wave, room_response(room_key, row, rate)), 0.0)
    power, other = (wave**2).sum(axis=1), (heard**2).sum(axis=1)
    heard *= jnp.sqrt(power / jnp.where(other > 0, other, 1.0))[:, None]
    chosen = draw(lambda one: jax.random.bernoulli(one, probability), chosen_key, row)
    return jnp.where(chosen[:, None], heard, wave)


def _fast_size(samples: int) -> int:
    """The least size of a transform from `samples` on that is 2^k, 3 2^k or 5 2^k."""
    return min(factor << max(0, math.ceil(math.log2(samples / factor))) for factor in (1, 3, 5))
