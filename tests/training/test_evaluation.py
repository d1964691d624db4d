"""An evaluation in parts is the evaluation of the whole: the same draws, the row state carried, the sums added."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np

from jaxgen.data.pictures import Pictures
from jaxgen.training.evaluation import make_evaluation, make_evaluation_of_parts
from tests.worlds import Duel


def test_parts_are_summed_to_the_whole():
    """Of a task with noise by row and batch, ragged weights, and rows that each batch hands to the next."""
    data = Pictures(batch_size=40)
    task, batches = Duel().for_spec(data.spec()), data.evaluation("test")  # nine batches
    variables, key = task.init(jax.random.key(0)), jax.random.key(1)
    cut = [{name: array[first : first + 3] for name, array in batches.items()} for first in (0, 3, 6)]
    whole = make_evaluation(task)(variables, batches, key)
    in_parts = make_evaluation_of_parts(task)(variables, iter(cut), key)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(in_parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
