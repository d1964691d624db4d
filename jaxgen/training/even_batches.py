"""Batches that the devices cannot share out evenly: which sizes would use them all."""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.training.parallel import Parallel


def idle_devices(parallel: Parallel, used: int, present: int, batch_size: int, accumulate: int = 1) -> str | None:
    """What to say where some of the `present` devices have no part of a batch; None where all have, or were not asked.

    `used` of them share it; a mesh whose size the user has given is taken as it is.
    """
    each = parallel.fsdp * parallel.tensor  # devices beside each other along the mesh's other axes
    groups = present // each
    if parallel.data or used >= groups * each:
        return None
    step = groups * parallel.fsdp * accumulate
    below = batch_size - batch_size % step
    sizes = " or ".join(str(size) for size in (below, below + step) if size)
    return (
        f"a batch of {batch_size} is shared out over {used} of {present} devices, for it is cut into equal parts: "
        f"data.batch_size={sizes} would use {'all' if groups * each == present else groups * each}"
    )
