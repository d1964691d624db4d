"""Restoration: what damages a picture as an operator, and solvers that undo it with a denoiser as the prior."""
# SPDX-License-Identifier: Apache-2.0
