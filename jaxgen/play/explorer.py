"""A trained run whose latent space is looked at: a picture of any view, by one compiled program for each size."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools
import math
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.task import LatentSpace, Sampled, Sampler
from jaxgen.errors import UserError, nearest
from jaxgen.play.attribute import Attribute, attribute_from
from jaxgen.play.directions import principal_directions, slowest_waves
from jaxgen.play.view import View
from jaxgen.reporting.artefacts import Artefact
from jaxgen.running.assembly import Assembly
from jaxgen.running.trained import CHANGEABLE, Trained, load_trained, read_experiment
from jaxgen.types import Batch, Key, Variables

DIRECTIONS = 8  # sliders
_SAMPLES, _AT_A_TIME = 512, 64  # pictures that the principal directions are found from
_LARGEST = 256  # numbers of noise that so many samples suffice for


@dataclass(frozen=True)
class Knob:
    """A number of the sampler that a slider moves from 0 to `high`; a typed one may be larger."""

    name: str
    value: float
    high: float


@dataclass(frozen=True)
class Seen:
    """A view's pictures in one file, and what each was made for where something was given."""

    artefact: Artefact
    captions: tuple[str, ...]


class Explorer:
    """Pictures of views. What is compiled is kept; knobs, sliders, seeds and classes are arguments of the program."""

    def __init__(
        self,
        trained: Trained,
        own: Sampler,
        command: Sequence[str],
        settings: Sequence[str] = (),
        attribute: Attribute | None = None,
    ):
        """`own`: the sampler that it was trained with. `command` and --set `settings` open it at this checkpoint."""
        self.attribute = attribute
        self.trained, self._own, self._command, self._settings = trained, own, command, settings
        self._task, self._presentation = trained.assembly.task, trained.assembly.presentation
        self._draw = jax.jit(functools.partial(_moved, self._task))
        self._rows: dict[tuple[str | None, int], Batch] = {}

    @property
    def choices(self) -> list[str]:
        """The classes to choose from."""
        return self._presentation.choices

    @property
    def reads_prompt(self) -> bool:
        return self._presentation.reads_prompt

    @functools.cached_property
    def knobs(self) -> list[Knob]:
        return knobs_of_page(self._task.sampler)

    @functools.cached_property
    def directions(self) -> np.ndarray:
        """[K, ...] in the coarsest noise: the same whatever the sampler's knobs are set to."""
        noise = jax.eval_shape(self._task.draw_noise, jnp.arange(1), jax.random.key(0))[0]
        shape = noise.shape[1:]
        if math.prod(shape) > _LARGEST:
            return slowest_waves(shape, DIRECTIONS)
        found = principal_directions(*self._samples(), DIRECTIONS)
        return found.reshape(-1, *shape)

    def check(self, view: View) -> None:
        """UserError where this run cannot show the view."""
        known = [knob.name for knob in self.knobs]
        for name in view.knobs:
            if name not in known:
                raise UserError(f"{name} is no number of the sampler{nearest(name, known)}")
        dataclasses.replace(self._task.sampler, **view.knobs)
        if view.attribute and self.attribute is None:
            raise UserError("attribute is for a run that was opened with one; name its examples by --with")
        if len(view.sliders) > len(self.directions):
            raise UserError(f"sliders has {len(view.sliders)} numbers; give at most {len(self.directions)}")

    def see(self, view: View) -> Seen:
        """The pictures of a view. UserError where this run cannot show it."""
        self.check(view)
        request = {**self._request(view.given, _padded(view.count)), "knobs": self._numbers(view.knobs)}
        sliders = np.zeros(len(self.directions), np.float32)
        sliders[: len(view.sliders)] = view.sliders
        key = jax.random.key(view.seed)
        levels = () if self.attribute is None else self.attribute.levels
        moves = (sliders, self.directions), (np.float32(view.attribute), levels)
        made, given = jax.device_get(self._draw(self.trained.variables, request, key, *moves))
        made, given = jax.tree.map(lambda array: array[: view.count], (made, given))
        return Seen(*self._presentation.show_bare({"given": given, "made": made}))

    def command(self, view: View, out: Path) -> str:
        """What writes the view's pictures to `out`, as a shell has it."""
        sampler = self._task.sampler.knobs()
        moved = [f"task.sampler.{name}={value!r}" for name, value in view.knobs.items() if value != sampler[name]]
        settings = [*self._settings, *moved]
        words = [*self._command, *(["--set", *settings] if settings else [])]
        if view.given is not None:
            words.append(f"--given={view.given}")
        words += ["--seed", str(view.seed), "--count", str(view.count)]
        if self.attribute is not None:
            words += ["--with", *self.attribute.having]
            words += ["--without", *self.attribute.lacking] if self.attribute.lacking else []
            words.append(f"--attribute={view.attribute!r}")
        if any(view.sliders):
            words.append("--sliders=" + ",".join(map(repr, view.sliders)))
        return shlex.join([*words, "--out", str(out)])

    def _request(self, given: str | None, count: int) -> Batch:
        """Rows for what is given, read once. A word of the page never names a file, as one of the command line may."""
        if (given, count) not in self._rows:
            if self.reads_prompt:
                _check_prompt(given)
            elif given is not None and given not in self.choices:
                raise UserError(f"there is no class {given!r}{nearest(given, self.choices)}")
            if len(self._rows) >= 256:
                self._rows.clear()
            self._rows[given, count] = self._presentation.request([] if given is None else [given], count)
        return self._rows[given, count]

    def _numbers(self, knobs: Any) -> dict[str, np.float32]:
        """All of the sampler's numbers, as arguments of the program."""
        return {name: np.float32(value) for name, value in (self._task.sampler.knobs() | dict(knobs)).items()}

    def _samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Noise [N, Z] and pictures of it [N, P], of all that can be given, under the knobs of training."""
        own = {name: value for name, value in self._own.knobs().items() if name in self._task.sampler.knobs()}
        request, knobs = self._presentation.assorted(_SAMPLES), self._numbers(own)
        program, parts = jax.jit(functools.partial(_drawn, self._task)), []
        for first in range(0, _SAMPLES, _AT_A_TIME):
            part = jax.tree.map(lambda array, first=first: array[first : first + _AT_A_TIME], request)
            parts.append(jax.device_get(program(self.trained.variables, {**part, "knobs": knobs}, jax.random.key(0))))
        noise, pictures = (np.concatenate(arrays).reshape(_SAMPLES, -1) for arrays in zip(*parts, strict=True))
        return noise, pictures


def explorer_of(
    workdir: Path,
    config: str | None,
    say: Callable[[str], None],
    settings: Sequence[str],
    which: str | None,
    having: Sequence[str] = (),
    lacking: Sequence[str] = (),
) -> Explorer:
    """A run's, at its newest checkpoint or the one that `which` names. UserError where it has no latent space.

    `having` and `lacking`: words or pictures that an attribute is learned from.
    """
    trained = load_trained(workdir, config, say, settings, which)
    refuse_unplayable(trained.assembly)
    trained_with = [setting for setting in settings if not setting.startswith(CHANGEABLE)]
    own = read_experiment(workdir, config, trained_with).task.sampler
    command = ["jaxgen", "play", "--workdir", str(workdir.resolve()), "--checkpoint", str(trained.step)]
    if config is not None:
        command += ["--config", os.path.abspath(config) if os.path.isfile(config) else config]
    attribute = attribute_from(trained, own, having, lacking) if having or lacking else None
    return Explorer(trained, own, command, settings, attribute)


def refuse_unplayable(assembly: Assembly) -> None:
    """UserError where there is no latent space, or something is given that the page has no field for."""
    task, presentation = assembly.task, assembly.presentation
    if not isinstance(task, LatentSpace) or not isinstance(task, Sampled):
        raise UserError(
            f"a {type(task).__name__} makes nothing of noise that sliders could move; give the --workdir of a GAN, "
            "of a VAE whose latents are Gaussian or of a diffusion model"
        )
    if presentation.given and not presentation.choices and not presentation.reads_prompt:
        names = " and ".join(presentation.given)
        raise UserError(f"play gives a class or a prompt, and these data give {names}; give another --workdir")


def knobs_of_page(sampler: Sampler) -> list[Knob]:
    """The sampler's finite numbers that are fields of it, each with the largest round value that a slider needs."""
    fields = {field.name for field in dataclasses.fields(sampler)}
    found = {name: value for name, value in sampler.knobs().items() if name in fields and math.isfinite(value)}
    return [Knob(name, value, _highest(sampler, name, value)) for name, value in found.items()]


def _highest(sampler: Sampler, name: str, value: float) -> float:
    for high in (2.0 * value, 2.0, 1.0):
        if high < value or high < 1:
            continue
        try:
            dataclasses.replace(sampler, **{name: high})
        except UserError:
            continue
        return high
    return value


def _padded(count: int) -> int:
    """The rows of the program that serves `count`: a power of two, so that there are few programs."""
    return 1 << (count - 1).bit_length()


def _check_prompt(prompt: str | None) -> None:
    if prompt is None or not prompt.strip():
        raise UserError("this run draws what a prompt says; write one")
    if prompt == "-" or os.path.exists(prompt):
        raise UserError(f"a prompt is words here, and {prompt!r} names a file; write other words")


def _moved(
    space: LatentSpace,
    variables: Variables,
    request: Batch,
    key: Key,
    along: tuple[jax.Array, jax.Array],
    attribute: tuple[jax.Array, tuple[jax.Array, ...]],
) -> tuple[Any, Any]:
    """What is made of the rows' noise, and what was given.

    It is moved by sliders [K] along directions [K, ...], and by so much of an attribute's array of each level, if any.
    """
    coarsest, *finer = space.draw_noise(request["row"], key)
    noise = coarsest + jnp.tensordot(*along, axes=1), *finer
    strength, levels = attribute
    if levels:
        noise = tuple(level + strength * one for level, one in zip(noise, levels, strict=True))
    found = space.decode(variables, request, noise)
    return found["made"], found["given"]


def _drawn(space: LatentSpace, variables: Variables, request: Batch, key: Key) -> tuple[jax.Array, jax.Array]:
    """The coarsest noise of the rows, and the pictures of all of it."""
    noise = space.draw_noise(request["row"], key)
    return noise[0], space.decode(variables, request, noise)["made"]["value"]
