"""An average of any width out of those that checkpoints hold: its weights over the steps by least squares.

An average of power γ at step t weighs the parameters of step τ by p(τ) = (γ + 1) τ^γ / t^(γ+1), τ <= t (eq. 3, arXiv
2312.02696). The combination of known averages whose weights are nearest to those that are wanted solves A x = b with
A_ij = <p_i, p_j> and b_i = <p_i, p_wanted> (section 3.2). Here x sums to 1, by a multiplier μ: x = A⁻¹ (b - μ 1). From
few checkpoints the paper's x sums to less, which would scale the parameters down.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Profile(NamedTuple):
    """The weights over the steps of one average."""

    step: float  # t
    power: float  # γ


def combination(known: Sequence[Profile], wanted: Profile) -> tuple[np.ndarray, float]:
    """[N] float64 factors of the `known` averages, of sum 1, and how far their weights are from those wanted.

    The distance is that of the weights as functions of the step, relative to the norm of those that are wanted.
    """
    step, power = (np.array(values, np.float64) for values in zip(*known, strict=True))
    inner = products(step[:, None], power[:, None], step, power)
    with_wanted = products(step, power, wanted.step, wanted.power)
    free, of_ones = np.linalg.lstsq(inner, np.stack([with_wanted, np.ones(len(step))], axis=1), rcond=1e-13)[0].T
    factors = free + (1 - free.sum()) / of_ones.sum() * of_ones
    norm = products(*wanted, *wanted)
    missing = norm - 2 * factors @ with_wanted + factors @ inner @ factors
    return factors, float(np.sqrt(max(missing, 0.0) / norm))


def products(t_a, γ_a, t_b, γ_b) -> np.ndarray:
    """∫ p_a p_b dτ: (γ_a + 1)(γ_b + 1) / (γ_a + γ_b + 1) / t_late (t_early / t_late)^γ_late (appendix C, there)."""
    first = np.asarray(t_a) < np.asarray(t_b)
    early, late = np.minimum(t_a, t_b), np.maximum(t_a, t_b)
    of_late = np.where(first, γ_b, γ_a)
    return (γ_a + 1) * (γ_b + 1) / (γ_a + γ_b + 1) / late * (early / late) ** of_late
