"""What a run shows of itself between its steps: its figures on a held-out split, and samples."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable

import jax

from jaxgen.core.state import TrainState
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.terminal import Work
from jaxgen.running.assembly import Assembly
from jaxgen.running.bounded import Evaluation, Sampling, refuse_other_metric
from jaxgen.training.evaluation import on_one_device
from jaxgen.training.step import averaged
from jaxgen.types import Variables


class Looks:
    """Both programs compile when they are first asked for, and once.

    The split is "validation" where the experiment chooses a checkpoint or its end by figures, so that the test split
    has no part in that; else "test".
    """

    def __init__(self, assembly: Assembly, stopped: Callable[[], bool]):
        self._assembly, self._stopped = assembly, stopped
        experiment = assembly.experiment
        self.split = "test" if experiment.best is None and experiment.stop is None else "validation"

    def refuse_other_metrics(self) -> None:
        """UserError where `best` or `stop` name no figure: told before anything is trained."""
        for field in ("best", "stop"):
            if (choice := getattr(self._assembly.experiment, field)) is not None:
                refuse_other_metric(choice.metric, self._evaluation, f"{field}.metric")

    def figures(self, state: TrainState, work: Callable[..., Work]) -> dict[str, float]:
        return self._evaluation.figures(self._variables(state), self._stopped, work)

    def samples(self, state: TrainState, work: Callable[..., Work]) -> Artefact:
        assembly = self._assembly
        variables, key = on_one_device(self._variables(state)), jax.random.fold_in(assembly.key, 4)
        return assembly.presentation.show(self._sampling(variables, self._request, key, self._stopped, work))

    def _variables(self, state: TrainState) -> Variables:
        devices = self._assembly.devices
        return devices.together(averaged(devices.fetch(state), self._assembly.experiment.shown))

    @functools.cached_property
    def _evaluation(self) -> Evaluation:
        return Evaluation(self._assembly, self.split, self._assembly.experiment.evaluate.examples)

    @functools.cached_property
    def _request(self) -> dict:
        return self._assembly.presentation.shown(self._assembly.data)

    @functools.cached_property
    def _sampling(self) -> Sampling:
        return Sampling(self._assembly)
