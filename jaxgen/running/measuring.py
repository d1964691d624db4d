"""A run's task measured on a split, held on the devices where that is small enough and else brought there in parts."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxgen.core.data import InParts
from jaxgen.core.mean import Mean
from jaxgen.running.assembly import Assembly
from jaxgen.training.evaluation import make_evaluation, make_evaluation_of_parts
from jaxgen.types import Batch, Variables


class Measuring:
    """Sums over all of a split under any variables; what is compiled and what fits the devices is kept."""

    def __init__(self, assembly: Assembly, split: str):
        self._assembly, self._split = assembly, split

    def __call__(self, variables: Variables) -> dict[str, Mean]:
        key = jax.random.fold_in(self._assembly.key, 3)
        if len(self._parts):
            return self._part_by_part(variables, map(self._assembly.devices.put_evaluation, self._parts), key)
        return self._whole(variables, self._batches, key)

    def names(self) -> list[str]:
        """What its figures will be called, told without evaluating anything."""
        task, key = self._assembly.task, self._assembly.key
        batches = self._parts[0] if len(self._parts) else self._batches
        whole = make_evaluation(task)
        sums = jax.eval_shape(lambda key: whole(task.init(key), batches, key), key)
        return list(task.finish(jax.tree.map(lambda shape: np.ones(shape.shape, shape.dtype), sums)))

    @functools.cached_property
    def _parts(self) -> Sequence[Mapping[str, np.ndarray]]:
        data = self._assembly.experiment.data
        return data.evaluation_parts(self._split) if isinstance(data, InParts) else ()

    @functools.cached_property
    def _batches(self) -> Batch:
        assembly = self._assembly
        return assembly.devices.put_evaluation(assembly.experiment.data.evaluation(self._split))

    @functools.cached_property
    def _whole(self):
        return make_evaluation(self._assembly.task)

    @functools.cached_property
    def _part_by_part(self):
        return make_evaluation_of_parts(self._assembly.task)
