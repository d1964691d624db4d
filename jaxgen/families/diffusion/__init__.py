"""The diffusion family: a transformer that takes noise off pictures, its samplers, and a bound on their likelihood."""
# SPDX-License-Identifier: Apache-2.0
