"""A reward that another run gives: how real its critic finds a sample, or how likely its model."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.core.part import Part, Run
from jaxgen.core.task import Critic, Hiding, Likelihood
from jaxgen.errors import UserError
from jaxgen.types import Batch, Parts, Spec, Variables


@dataclass(frozen=True)
class Judge:
    """The run `model` as a frozen reward model.

    Where its task is a Critic the reward is the probability, in (0, 1), that a sample is real. Else it is a
    Likelihood's log-probability in nats per element of what is made (a picture's levels, a text's tokens; the number of
    elements is the data's, also for a sentence that ends early): of the order of 1 whatever the size, so that `kl_coef`
    and learning rates for other rewards serve. A bound that draws noise draws the same in every step, for each row its
    own.
    """

    model: Run | Part

    def prepare(self, spec: Spec) -> tuple[()]:
        """Nothing: the weights are a part's. UserError where the samples are not what the model was trained on."""
        if not isinstance(self.model.task, Critic | Likelihood):
            raise UserError(
                f"{self.model.field}: a {type(self.model.task).__name__} gives neither a likelihood nor a probability "
                "of being real; name a run that does"
            )
        there, here = ({"made": one.made, **dict(one.given)} for one in (self.model.spec, spec))
        other = [name for name in there if there[name] != here.get(name)]
        if other:
            lines = (f"{name} is {there[name]} there and {here.get(name, 'missing')} here" for name in other)
            raise UserError(
                f"{self.model.field} does not fit these data: {'; '.join(lines)}; name a run that was trained on data "
                "of the same kind and sizes"
            )
        return ()

    def of_parts(self, parts: Parts) -> Variables:
        return parts[self.model.name]

    def __call__(self, prepared: Variables, example: Batch) -> jax.Array:
        """[B] rewards of examples [B, ...] with their global "row" [B]; `prepared` are the model's variables."""
        task, spec = self.model.task, self.model.spec
        self._refuse_hidden(example)
        if isinstance(task, Critic):
            return task.probability(prepared, example)
        declared = spec.made.arrays()["value"][1]
        if not jnp.issubdtype(declared, jnp.floating) and jnp.issubdtype(example["made"]["value"].dtype, jnp.floating):
            raise UserError(
                f"{self.model.field}: no gradient goes through the likelihood of a {type(task).__name__}; give a run "
                "that has a critic, or rewards=ScoreFunction(...)"
            )
        return task.log_prob(prepared, example, jax.random.key(0)) / spec.made.elements

    def _refuse_hidden(self, example: Batch) -> None:
        """UserError for samples that are drawn without what the model has never been trained to do without."""
        missing = [name for name, _ in self.model.spec.given if name not in example["given"]]
        if missing and not (isinstance(self.model.task, Hiding) and self.model.task.condition_dropout):
            raise UserError(
                f"{self.model.field} was trained under {missing[0]}, and these samples are drawn without; name a run "
                "with task.condition_dropout above 0, or one on data that give nothing"
            )
