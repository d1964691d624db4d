"""A run's latent space at work: noise of samples and of pictures, and the pictures of any noise, all in bounded memory.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.core.task import Completing, Inferring, LatentSpace
from jaxgen.errors import UserError
from jaxgen.modalities.presents import Recognises
from jaxgen.running.bounded import Sampling, never
from jaxgen.running.trained import Trained
from jaxgen.types import Batch

Noise = tuple[np.ndarray, ...]  # [N, ...] a level, the coarsest first


class LatentEditor:
    """What edits need of a run; each program is compiled once for requests of a kind.

    UserError where the run's family has no latent space of pictures.
    """

    def __init__(self, trained: Trained, seed: int, stopped: Callable[[], bool] = never):
        task, self.trained = trained.assembly.task, trained
        self.presentation = trained.assembly.presentation
        if not self.presentation.makes_pictures:
            raise UserError(
                "edit is for runs that make still pictures, which this one does not; give another --workdir"
            )
        if not isinstance(task, LatentSpace):
            raise UserError(
                f"a {type(task).__name__} has no latent space to edit pictures in; give the --workdir of a GAN, a VAE "
                "or a diffusion model"
            )
        if not 0 <= seed < 2**32:
            raise UserError(f"--seed is {seed}; give a number from 0 to {2**32 - 1}")
        self._task, self._key, self._stopped = task, jax.random.key(seed), stopped
        self._draw = jax.jit(task.draw_noise)
        self._decode = Sampling(
            trained.assembly, lambda variables, request, key: task.decode(variables, request, request["noise"])
        )
        self._infer, self._outputs = self._inferring(), self._completing()

    def _inferring(self) -> Sampling | None:
        if not isinstance(self._task, Inferring):
            return None
        infer = self._task.infer
        return Sampling(self.trained.assembly, lambda *how: {"noise": infer(*how)})

    def _completing(self) -> Sampling:
        return Sampling(self.trained.assembly, self._task.complete if isinstance(self._task, Completing) else None)

    def noise(self, request: Batch) -> Noise:
        """Of the request's pictures where it has some, else what `sample` would draw for its rows."""
        if "made" not in request:
            return jax.device_get(self._draw(request["row"], self._key))
        if self._infer is None:
            kind = type(self._task).__name__
            raise UserError(f"a {kind} finds no noise for a picture; leave the pictures out, and samples are edited")
        return self._infer(self.trained.variables, request, self._key, self._stopped)["noise"]

    def decode(self, request: Batch, noise: Sequence[np.ndarray], rows: np.ndarray) -> Batch:
        """The samples of noise [N, ...]; row n has what is given for row rows[n] of the request."""
        asked = {"row": request["row"][rows], "given": jax.tree.map(lambda array: array[rows], request["given"])}
        return self._decode(self.trained.variables, {**asked, "noise": tuple(noise)}, self._key, self._stopped)

    def outputs(self, request: Mapping[str, Any]) -> Batch:
        """An output for each of the request's pictures, near to all of it or to what is known of it."""
        return self._outputs(self.trained.variables, request, self._key, self._stopped)

    def pixels(self, examples: Batch) -> np.ndarray:
        """[N, H, W, C] uint8 of what was made."""
        return np.asarray(self.presentation.results(examples))

    def recognised(self, examples: Batch) -> np.ndarray | None:
        """[N] the class of each by the net that ships for the data; None where none does, or a part is unknown."""
        made = self.presentation.made
        return made.recognised(examples["made"]) if isinstance(made, Recognises) else None

    def features(self, examples: Batch) -> np.ndarray | None:
        """[N, D] features by a frozen net, or pixels; None for a modality of which no net ships."""
        made = self.presentation.made
        return made.features(examples["made"]) if isinstance(made, Recognises) else None
