"""A run's latent space on a local page: pictures that follow sliders, and the command that makes each again."""
# SPDX-License-Identifier: Apache-2.0
