"""What a run shows of itself between its steps: its figures on the test split, and samples."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable

import jax

from jaxgen.core.state import TrainState
from jaxgen.errors import UserError, nearest
from jaxgen.reporting.samples import render
from jaxgen.running.assembly import Assembly
from jaxgen.running.measuring import Measuring
from jaxgen.running.requests import grid_request
from jaxgen.training.evaluation import finish, make_sampler, on_one_device
from jaxgen.training.processes import gathered
from jaxgen.training.step import averaged
from jaxgen.types import Batch, Key, Variables


class Shown:
    """Both programs compile when they are first asked for, and once."""

    def __init__(self, assembly: Assembly):
        self._assembly = assembly

    def refuse_other_metrics(self) -> None:
        """UserError where `best` names no figure: told before anything is trained, for the first may be hours away."""
        best = self._assembly.experiment.best
        if best is not None and best.metric not in (names := self._test.names()):
            raise UserError(f"best.metric is {best.metric!r}, which is no figure here{nearest(best.metric, names)}")

    def figures(self, state: TrainState) -> dict[str, float]:
        return finish(self._assembly.task, self._test(self._variables(state)))

    def samples(self, state: TrainState) -> tuple[str, bytes]:
        """A file's suffix and content."""
        assembly = self._assembly
        given, _ = grid_request(assembly)
        variables = on_one_device(self._variables(state))
        samples = self._sampler(variables, given, jax.random.fold_in(assembly.key, 4))
        decode = None if assembly.spec.image else assembly.experiment.data.decode
        return render(jax.device_get(gathered(samples)), assembly.spec, decode)

    def _variables(self, state: TrainState) -> Variables:
        devices = self._assembly.devices
        return devices.together(averaged(devices.fetch(state), self._assembly.experiment.shown))

    @functools.cached_property
    def _test(self) -> Measuring:
        return Measuring(self._assembly, "test")

    @functools.cached_property
    def _sampler(self) -> Callable[[Variables, Batch, Key], Batch]:
        return make_sampler(self._assembly.sample, grid_request(self._assembly)[1])
