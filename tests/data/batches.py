"""One batch of a streamed source, as the tests look at it."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np

from jaxgen.core.data import Streamed


def batch_at(source: Streamed, state: Any, number: int) -> dict[str, np.ndarray]:
    """All rows of batch `number`."""
    return dict(next(iter(source.stream(state, number, np.arange(source.batch_size)))))
