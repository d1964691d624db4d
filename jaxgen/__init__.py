"""jaxgen: RNNs, Transformers, GANs, VAEs and diffusion models in one JAX house (imports nothing, so that `--help` is quick)."""
# SPDX-License-Identifier: Apache-2.0

__version__ = "0.1.0"
