"""Virtual devices of the CPU in the place of a pod that is not here."""
# SPDX-License-Identifier: Apache-2.0

import math

import jax

from jaxgen.errors import UserError
from jaxgen.running.chips import named_chip
from jaxgen.running.command_line import chosen_parallel
from jaxgen.training.parallel import Parallel


def use_virtual_devices(kind: str, mesh: str | None) -> None:
    """Give JAX as many CPU devices as the mesh has; before JAX makes its devices.

    UserError for a kind that is not known, and where no mesh says how many there are.
    """
    named_chip(kind)
    parallel = chosen_parallel(Parallel(), None, mesh)
    if not parallel.data:
        raise UserError(f"--on {kind}: say how many there are by --mesh, all axes that matter, such as data=8,fsdp=4")
    count = math.prod((parallel.data, parallel.fsdp, parallel.tensor))
    try:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise UserError(
            f"--on {kind}: JAX has its devices already ({error}); describe it in a process of its own"
        ) from None
