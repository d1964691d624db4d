"""Mathematics that imports jax alone."""
# SPDX-License-Identifier: Apache-2.0
