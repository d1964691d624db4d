"""A 3x3 convolution as a module, with `ops/convolution.py`'s gradients."""
# SPDX-License-Identifier: Apache-2.0

import jax
from flax import linen as nn

from jaxgen.nn.precision import Precision
from jaxgen.ops.convolution import convolution, grouped_convolution


def convolution_3x3(features: int, precision: Precision, **fields) -> nn.Conv:
    """Flax's convolution [B, H, W, C] to [B, H, W, features] in a precision, zeros around the borders.

    `fields`: others of `flax.linen.Conv`, among them `feature_group_count`.
    """
    return nn.Conv(features, (3, 3), dtype=precision.dtype, conv_general_dilated=_convolved, **fields)


def _convolved(x: jax.Array, kernel: jax.Array, *_, feature_group_count: int = 1, **__) -> jax.Array:
    """In the place of `lax.conv_general_dilated`; what else flax hands over is what `convolution` does."""
    if feature_group_count == 1:
        return convolution(x, kernel)
    return grouped_convolution(x, kernel, feature_group_count)
