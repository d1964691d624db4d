"""The operations of a step's products, however the step is computed: what a share of a product's peak counts."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import fields, is_dataclass, replace
from typing import Any

from jax.extend.core import JaxprEqn

from jaxgen.experiment import Experiment
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.running.assembly import assemble
from jaxgen.running.estimate import shapes_of, traced_step
from jaxgen.training.costs import Costs, inner_jaxprs
from jaxgen.training.parallel import Parallel

_PRODUCTS = ("dot_general", "conv_general_dilated")


class ModelCosts(Costs):
    """Products and convolutions alone, as appendix B of arXiv 2204.02311 counts them.

    Causal attention counts once: half of its products are with keys that no query sees.
    """

    def _flops_of(self, eqn: JaxprEqn, halves: bool) -> float:
        if not any(inner_jaxprs(eqn)) and eqn.primitive.name not in _PRODUCTS:
            return 0.0
        flops = super()._flops_of(eqn, halves)
        return flops / 2 if "attend_causally" in str(eqn.source_info.name_stack) else flops


def step_flops(experiment: Experiment) -> float:
    """Of one training step of the whole batch; what rematerialisation computes twice counts once.

    Counted in float32, whose attention is written out on every platform: nothing can be read off a fused kernel.
    """
    task = _written_out(experiment.task)
    assembly = assemble(replace(experiment, task=task, parallel=Parallel(data=1)))
    return ModelCosts().flops(traced_step(assembly, shapes_of(assembly)).jaxpr.jaxpr)


def _written_out(part: Any) -> Any:
    """A task or a network in float32, with nothing of it computed twice."""
    if isinstance(part, Remat):
        return Remat.NONE
    if isinstance(part, Precision):
        return Precision.FLOAT32
    if not is_dataclass(part) or isinstance(part, type):
        return part
    found = {
        one.name: getattr(part, one.name) for one in fields(part) if one.init and one.name not in ("parent", "name")
    }
    changed = {name: _written_out(value) for name, value in found.items()}
    return replace(part, **{name: value for name, value in changed.items() if value is not found[name]})
