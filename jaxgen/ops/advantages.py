"""How much better an episode did than could be expected: the baselines of score-function gradients."""
# SPDX-License-Identifier: Apache-2.0

import jax


def leave_one_out(returns: jax.Array, group: int) -> jax.Array:
    """[B]: each return minus the mean of the others in its group of `group` neighbouring rows (RLOO, arXiv 2402.14740).

    The baseline does not depend on the row's own episode, so the gradient stays unbiased. ValueError when the groups
    have fewer than two rows or do not come out even.
    """
    if group < 2 or len(returns) % group:
        raise ValueError(f"{len(returns)} returns cannot be cut into groups of {group}, each of two or more")
    grouped = returns.reshape(-1, group)
    others = (grouped.sum(axis=1, keepdims=True) - grouped) / (group - 1)
    return (grouped - others).reshape(-1)
