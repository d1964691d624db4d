"""Waves as a listener hears them: whole frames, their power by frequency, the mel filterbank, and its logarithm."""
# SPDX-License-Identifier: Apache-2.0

import functools
import math
from typing import TypeVar

import jax
import jax.numpy as jnp

Count = TypeVar("Count", int, jax.Array)


def frame_count(samples: Count, window: int, hop: int) -> Count:
    """How many whole frames of `window` samples, `hop` apart, lie in so many samples; a shorter wave has none."""
    count = (samples - window) // hop + 1
    return count * (count > 0)


def frame_mask(wave_length: jax.Array, samples: int, window: int, hop: int) -> jax.Array:
    """[B, F] which frames of a wave [B, samples] hold nothing but its own first `wave_length` [B] samples."""
    own = frame_count(wave_length, window, hop)
    return jnp.arange(frame_count(samples, window, hop)) < own[:, None]


def hann(window: int) -> jax.Array:
    """[window] the periodic Hann window, 1/2 - cos(2πn/W)/2: spectra of frames tile time evenly under it."""
    return 0.5 - 0.5 * jnp.cos(2 * math.pi / window * jnp.arange(window, dtype=jnp.float32))


def frames(wave: jax.Array, window: int, hop: int, size: int) -> jax.Array:
    """The whole frames [..., F, size] of a wave [..., N] under the Hann window; `size`, W or more, ends in zeros.

    The zeros are what follows in the wave, times 0: to pad each frame would cost half as much as its spectrum.
    """
    behind = [(0, 0)] * (wave.ndim - 1) + [(0, size - window)]
    starts = hop * jnp.arange(frame_count(wave.shape[-1], window, hop))
    shape = jnp.pad(hann(window), (0, size - window))
    return jnp.pad(wave, behind)[..., starts[:, None] + jnp.arange(size)] * shape


def power_spectrum(framed: jax.Array) -> jax.Array:
    """|X_k|² [..., size/2 + 1] of real frames [..., size]; bin k lies at k/size of the sampling rate.

    By a real FFT: on a CPU the discrete Fourier transform as a product of matrices (400 samples, 512 points) took twice
    as long and was a little less exact.
    """
    spectrum = jnp.fft.rfft(framed)
    return spectrum.real**2 + spectrum.imag**2


def to_mel(hertz: float) -> float:
    """The mel scale of O'Shaughnessy (1987) and HTK: m = 2595 log₁₀(1 + f/700)."""
    return 2595 * math.log10(1 + hertz / 700)


def to_hertz(mel: float) -> float:
    """Undo `to_mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


def mel_centres(mels: int, low: float, high: float) -> tuple[float, ...]:
    """Hz, [mels]: evenly on HTK's mel scale between `low` and `high`."""
    lowest, step = to_mel(low), (to_mel(high) - to_mel(low)) / (mels + 1)
    return tuple(to_hertz(lowest + step * number) for number in range(1, mels + 1))


@functools.cache
def mel_filters(rate: int, size: int, mels: int, low: float, high: float) -> tuple[tuple[float, ...], ...]:
    """The weight of each bin of a `size`-point spectrum at `rate` Hz in each of the filters, [mels][size/2 + 1].

    Triangles of height 1, straight over Hz, each from its lower neighbour's centre to its upper one's; the centres lie
    evenly on HTK's mel scale from `low` to `high` Hz (librosa's `htk=True, norm=None`; torchaudio's default).
    """
    edges = [low, *mel_centres(mels, low, high), high]
    bins = [rate * k / size for k in range(size // 2 + 1)]
    return tuple(
        tuple(max(0.0, min((f - left) / (top - left), (right - f) / (right - top))) for f in bins)
        for left, top, right in zip(edges, edges[1:], edges[2:], strict=False)
    )


def log_mel(power: jax.Array, filters: tuple[tuple[float, ...], ...], floor: float) -> jax.Array:
    """[..., mels] ln(max(filter · power, floor)) of a power spectrum [..., K].

    The product is taken in full float32: a GPU's shorter one would be seen in what is quiet.
    """
    weights = jnp.asarray(filters, power.dtype).T
    return jnp.log(jnp.maximum(jnp.matmul(power, weights, precision=jax.lax.Precision.HIGHEST), floor))
