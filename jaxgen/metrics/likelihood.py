"""Units of likelihood: what is nats inside is shown in bits per dimension."""
# SPDX-License-Identifier: Apache-2.0

import math


def bits_per_dim(nats: float, dimensions: int) -> float:
    """Negative log-likelihood of one example in nats to bits for each of its dimensions (H * W * C of a picture).

    Works on arrays of nats as well, NumPy's or JAX's.
    """
    return nats / (dimensions * math.log(2))
