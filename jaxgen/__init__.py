"""jaxgen: RNNs, Transformers, GANs, VAEs and diffusion models in one JAX framework. It imports nothing."""
# SPDX-License-Identifier: Apache-2.0

__version__ = "0.1.0"
