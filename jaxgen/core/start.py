"""What a run starts from: another run's parameters, changed by surgeries, some of their leaves anew."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

from jaxgen.core.masks import Mask, Matching
from jaxgen.core.surgery import Fitted, Surgery
from jaxgen.errors import UserError
from jaxgen.types import Params


@dataclass(frozen=True)
class Start:
    """The weights of the run in the folder `run`, as it shows them: its first average where it has one.

    `surgery` changes them, each in its turn, until they fit this experiment's task. The leaves that `fresh` matches,
    and those that a surgery has dropped, come from the task's own init. With `moments` each leaf whose path and shape
    are unchanged goes on with the optimiser's moments that it had there, and the optimiser with its count of updates
    (Adam's correction of its bias; not a schedule's, which begins anew).
    """

    run: str
    surgery: tuple[Surgery | Fitted, ...] = ()
    fresh: Matching | None = None
    moments: bool = False

    def __post_init__(self):
        if not self.run:
            raise UserError("start.run is empty; name the folder of a run")
        if not isinstance(self.surgery, tuple):
            raise UserError("start.surgery is one surgery; give a tuple of them, such as (NewHead(),)")


@dataclass(frozen=True)
class OnlyNew:
    """The leaves that the run it starts from has not, or has in another shape, or that come from init.

    A leaf that has grown moves whole, the numbers that it brought along too: a leaf is the least that can be frozen.
    Where a Transformer's blocks are stacked (`scan`) a stack that has grown is such a leaf.
    """

    def __call__(self, params: Params) -> Mask:
        raise UserError("trainable=OnlyNew moves what a start lacks; give a start, or choose another `trainable`")
