"""On two devices, the parameters or their products cut in halves, a step is that of one device; under a reward too."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from tests.virtual_devices import on_devices

TWO = """
import json, sys
import jax, numpy as np
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.rewards.tuned import Samples, TunedGame
from tests.families.cases import BATCH, source_of, task_of
from tests.families.test_contract import Parallel, trained
from tests.rewards.worlds import Ink, policy
found, family = [], sys.argv[1]
small, tuning = policy(family)[0], ScoreFunction(Ink(), group=4)
for task, source in (
    (task_of(family), source_of(family)),
    (TunedGame(small, tuning), Samples.of(small, tuning, BATCH)),
):
    for parallel in (Parallel(data=1), Parallel(data=1, fsdp=2), Parallel(data=1, tensor=2)):
        metrics, params = trained(task, parallel, source, eps=1.0)
        figures = {name: [float(step[name].value) for step in metrics] for name in metrics[0]}
        found.append((figures, [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(params)]))
print(json.dumps(found))
"""


@pytest.mark.parametrize("family", ["rnn", pytest.param("transformer", marks=pytest.mark.slow)])
def test_a_cut_in_two_takes_the_steps_of_one_device_with_a_reward_and_without(family):
    """Law 2, with an eps that lets Adam enlarge no rounding."""
    found = on_devices(2, TWO, family)
    for (one, params), *others in (found[:3], found[3:]):
        for way, (many, moved) in zip(("fsdp", "tensor"), others, strict=True):
            for name in one:
                if name.split("/")[-1] in ("loss", "reward", "kl_nats"):
                    scale = max(np.abs(one[name]).max(), 1.0)  # a policy's loss is a difference of large numbers
                    where = f"{way} {name}"
                    np.testing.assert_allclose(many[name], one[name], rtol=0, atol=1e-6 * scale, err_msg=where)
            for a, b in zip(params, moved, strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6, err_msg=way)
