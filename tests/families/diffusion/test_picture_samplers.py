"""Samplers as settings: how noise levels are spaced, what `--set` can change, what is refused."""
# SPDX-License-Identifier: Apache-2.0

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import from_document, to_document
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.families.diffusion.picture_samplers import DDIM, Churn, DPMSolver2M, Euler, Heun, PictureSampler, Spacing
from jaxgen.families.diffusion.process import FlowMatching, Prediction, VarianceExploding, VariancePreserving
from jaxgen.families.diffusion.training_noise import LogitNormal, PredictionWeight


@pytest.mark.parametrize("process", [VarianceExploding(), VariancePreserving(), FlowMatching()], ids=str)
def test_noise_levels_are_even_in_what_their_spacing_names(process):
    even = {Spacing.ROOT: lambda σ: σ ** (1 / 7), Spacing.LOG: jnp.log, Spacing.TIME: process.time}
    assert set(even) == set(Spacing)
    for spacing, measure in even.items():
        sigmas = Euler(steps=8, spacing=spacing).sigmas(process, 0.03, 20.0)
        assert (sigmas[0], sigmas[-1]) == (np.float32(20.0), np.float32(0.03))
        gaps = np.diff(measure(sigmas))
        np.testing.assert_allclose(gaps, gaps[0], rtol=2e-3)


def test_everything_about_process_and_sampler_can_be_set():
    words = ["process=FlowMatching", "prediction=velocity", "noise=LogitNormal", "noise.std=0.8"]
    words += ["weighting=PredictionWeight", "sampler=DPMSolver2M", "sampler.steps=20", "sampler.spacing=time"]
    words += ["sampler.guidance=2", "sampler.guidance_to=5"]
    task = set_fields(load_experiment("diffusion/digits", Experiment), [f"task.{word}" for word in words]).task
    assert (task.process, task.prediction) == (FlowMatching(), Prediction.VELOCITY)
    assert (task.noise, task.weighting) == (LogitNormal(std=0.8), PredictionWeight())
    assert task.sampler == DPMSolver2M(20, 2.0, guidance_to=5.0, spacing=Spacing.TIME)
    assert from_document(json.loads(json.dumps(to_document(task)))) == task
    assert isinstance(task.sampler, PictureSampler)
    settings = ["task.process=VariancePreserving", "task.process.beta_max=12", "task.sampler=churn"]
    task = set_fields(load_experiment("diffusion/digits", Experiment), [*settings, "task.sampler.churn=4"]).task
    assert task.process == VariancePreserving(beta_max=12.0) and task.sampler == Churn(churn=4.0)


@pytest.mark.parametrize(
    ("sampler", "fields"),
    [
        (Heun, {"guidance": -1.0}),
        (Heun, {"guidance": float("inf")}),
        (Heun, {"guidance": 1e30}),
        (Heun, {"steps": 1}),
        (Euler, {"steps": 20_000}),
        (Euler, {"guidance_from": 2.0, "guidance_to": 1.0, "guidance": 1.0}),
        (Euler, {"guidance_to": 1.0}),
        (DDIM, {"eta": 1.5}),
        (Churn, {"churn": -1.0}),
        (Churn, {"churn_to": 0.01}),
    ],
)
def test_samplers_that_cannot_be_are_refused_in_a_sentence(sampler, fields):
    with pytest.raises(UserError, match=rf"sampler\..*({'|'.join(fields)}) .*(give|set)"):
        sampler(**fields)
