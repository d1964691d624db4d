"""Families that make no clips refuse them in a sentence."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.config.reading import load_experiment
from jaxgen.data.clips import MovingDigits
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from tests.commands.command import ROOT

CLIPS = MovingDigits(batch_size=4, frames=4, size=16).spec()


REFUSING = ["vae/digits", "vae/iwae", "vae/hierarchical", "diffusion/digits", "diffusion/few_steps"]


@pytest.mark.parametrize("config", [*REFUSING, "diffusion/digits_mean_flow"])
def test_a_vae_and_a_diffusion_model_refuse_clips(config):
    task = load_experiment(ROOT / f"configs/{config}.py", Experiment).task
    with pytest.raises(UserError, match=r"^a \w+ makes pictures and this data set has none; choose data with pictures"):
        task.sized(CLIPS)
