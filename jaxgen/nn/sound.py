"""How a wave is heard: the settings of log-mel features and of SpecAugment, checked where they are given."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxgen.errors import UserError
from jaxgen.ops import audio
from jaxgen.ops.spec_augment import hidden_spans, hide
from jaxgen.ops.vocal_tract import with_stretched_voice
from jaxgen.types import Key

_PART = 32  # frames of each row that a CPU works on at a time


class Features(NamedTuple):
    """Features, and which frames of them hold nothing but the row's own samples."""

    features: Float[Array, "B F M"]
    mask: Bool[Array, "B F"]


@dataclass(frozen=True)
class LogMel:
    """Log-mel features: ln of the power under Hann windows, through triangles on HTK's mel scale (ops/audio.py).

    A wave is cut into whole frames of `window` seconds, one every `hop` seconds, the first at its first sample; the
    spectrum has the next power of two of points. Powers below `floor` count as it.
    """

    rate: int = 16_000  # Hz, of the waves
    window: float = 0.025  # seconds
    hop: float = 0.010  # seconds
    mels: int = 80
    low: float = 20.0  # Hz, where the first triangle begins
    high: float | None = None  # Hz, where the last one ends; None: half the rate
    floor: float = 1e-10  # of a power, waves lying in [-1, 1]

    def __post_init__(self):
        if min(self.rate, self.samples, self.step, self.mels) < 1 or not self.floor > 0:
            raise UserError(
                f"rate is {self.rate}, window {self.window}, hop {self.hop}, mels {self.mels}, floor {self.floor}; "
                "give a window and a hop of at least one sample, and the others above 0"
            )
        if not 0 <= self.low < self.top <= self.rate / 2:
            raise UserError(f"the mel filters lie from {self.low} to {self.top} Hz; give 0 <= low < high <= rate / 2")
        if empty := [number for number, weights in enumerate(self.filters) if not any(weights)]:
            raise UserError(
                f"{len(empty)} of mels={self.mels} filters lie between two frequencies of the spectrum, "
                f"{self.rate / self.points:.1f} Hz apart, and hear nothing; give fewer, or a longer window"
            )

    @property
    def samples(self) -> int:
        """Of a window."""
        return round(self.window * self.rate)

    @property
    def step(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop * self.rate)

    @property
    def points(self) -> int:
        """Of a frame's spectrum."""
        return 1 << (self.samples - 1).bit_length()

    @property
    def top(self) -> float:
        """Hz, where the last triangle ends."""
        return self.rate / 2 if self.high is None else self.high

    @property
    def filters(self) -> tuple[tuple[float, ...], ...]:
        return audio.mel_filters(self.rate, self.points, self.mels, self.low, self.top)

    @property
    def centres(self) -> tuple[float, ...]:
        """Hz, of the filters' peaks."""
        return audio.mel_centres(self.mels, self.low, self.top)

    def of_other_voices(self, heard: Features, factor: Float[Array, " B"]) -> Features:
        """The same features with each row's frequencies multiplied by its own factor, near `top` by less."""
        return heard._replace(features=with_stretched_voice(heard.features, factor, self.centres, self.top))

    def frames(self, samples: int) -> int:
        """F of waves of so many samples."""
        return audio.frame_count(samples, self.samples, self.step)

    def __call__(self, wave: Float[Array, "B N"], wave_length: Int[Array, " B"]) -> Features:
        """The features of `wave` in [-1, 1], of which each row's first `wave_length` samples are its own."""
        mask = audio.frame_mask(wave_length, wave.shape[1], self.samples, self.step)
        features = jax.lax.platform_dependent(wave, cpu=self._by_parts, default=self._features)
        return Features(features, mask)

    def _features(self, wave: Float[Array, "B N"]) -> Float[Array, "B F M"]:
        power = audio.power_spectrum(audio.frames(wave, self.samples, self.step, self.points))
        return audio.log_mel(power, self.filters, self.floor)

    def _by_parts(self, wave: Float[Array, "B N"]) -> Float[Array, "B F M"]:
        """The same, a few frames of all rows at a time: what lies between fits a CPU's cache and is not allocated."""
        count, samples = self.frames(wave.shape[1]), wave.shape[1]
        parts = -(-count // _PART)
        if parts < 2:
            return self._features(wave)
        behind = max(0, (parts * _PART - 1) * self.step + self.samples - samples)
        padded, span = jnp.pad(wave, ((0, 0), (0, behind))), (_PART - 1) * self.step + self.samples

        def part(start: Int[Array, ""]) -> Float[Array, "B P M"]:
            return self._features(jax.lax.dynamic_slice_in_dim(padded, start, span, axis=1))

        made = jax.lax.map(part, _PART * self.step * jnp.arange(parts, dtype=jnp.int32))  # [parts, B, P, M]
        return jnp.moveaxis(made, 0, 1).reshape(len(wave), parts * _PART, self.mels)[:, :count]


@dataclass(frozen=True)
class SpecAugment:
    """Time and frequency masks of arXiv 1904.08779 (table 1; the default is its LibriSpeech double), without the warp.

    No time mask covers more than `fraction` of a row's own frames (p of the paper). What is hidden takes the row's
    mean.
    """

    bands: int = 2  # m_F, how many bands of frequencies are hidden
    band: int = 27  # F, the widest, in filters
    times: int = 2  # m_T, how many spans of time are hidden
    time: int = 100  # T, the longest, in frames
    fraction: float = 1.0  # p

    def __post_init__(self):
        if min(self.bands, self.band, self.times, self.time) < 0 or not 0 < self.fraction <= 1:
            raise UserError(
                f"bands is {self.bands}, band {self.band}, times {self.times}, time {self.time}, fraction "
                f"{self.fraction}; give 0 or more, and a fraction above 0, up to 1"
            )

    def __call__(self, heard: Features, keys: Key) -> Features:
        """The same with spans hidden by draws from each row's own of `keys` [B]."""
        batch, length, mels = heard.features.shape
        own = heard.mask.sum(axis=1)
        longest = jnp.minimum(self.time, jnp.floor(self.fraction * own).astype(jnp.int32))
        time_keys, band_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        times = hidden_spans(time_keys, own, length, self.times, longest)
        every = jnp.full(batch, mels)
        bands = hidden_spans(band_keys, every, mels, self.bands, jnp.full(batch, self.band))
        return heard._replace(features=hide(heard.features, heard.mask, times[:, :, None] | bands[:, None, :]))
