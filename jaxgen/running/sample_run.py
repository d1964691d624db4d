"""Fresh examples of one run: `jaxgen sample` without its command line."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence

import jax

from jaxgen.core.task import Completing, Gradual
from jaxgen.errors import UserError
from jaxgen.modalities.inputs import PictureForText
from jaxgen.running.bounded import Sampling
from jaxgen.running.trained import Trained
from jaxgen.types import Batch


def samples_of(
    trained: Trained,
    sampling: Sampling,
    given: Sequence[str],
    count: int | None,
    seed: int,
    stopped: Callable[[], bool],
    begun: Sequence[str] = (),
) -> Batch:
    """{"given", "made"} [N, ...] on the host: `count` for each word of `given`, or so many in all without any.

    `begun` are files that samples begin from. `sampling` keeps what it has compiled. Raises UserError for words that
    name nothing, Stopped where that is asked.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed is {seed}; give a number from 0 to {2**32 - 1}")
    task, presentation = trained.assembly.task, trained.assembly.presentation
    begins = isinstance(task, Gradual | Completing)
    if begun and not begins:
        raise UserError(f"--begin: a {type(task).__name__} makes its samples from nothing else; leave it out")
    try:
        request = presentation.request(given, count, begun)
    except PictureForText as error:
        if begins and presentation.makes_pictures:
            raise PictureForText(error.name, "give the picture by --begin, and samples begin from it") from None
        raise
    return sampling(trained.variables, request, jax.random.key(seed), stopped)
