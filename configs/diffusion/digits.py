"""A small diffusion transformer on handwritten digits: EDM's loss, each pixel's level under the noise as its answer.

DiT (arXiv 2212.09748) under EDM (arXiv 2206.00364), with class guidance (arXiv 2207.12598).

    jaxgen train --config configs/diffusion/digits.py --workdir runs/diffusion

Expect 1.83 bits/dim (a variational bound, whose 16 draws a picture give it a standard deviation of 0.012) on the
held-out digits, 98 % of the samples recognised, a forest that tells them from real digits 61 % of the time, and Fréchet
distances of 0.20 in pixels and 6.6 in digits-cnn-a81e, after 24 s of training on one of two cores of an AMD EPYC with
AVX-512; `jaxgen evaluate --workdir runs/diffusion` tells.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.process import Prediction
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=DiffusionTransformer(width=128, blocks=3, heads=4, patch=4, dropout=0.05),
            prediction=Prediction.LEVELS,
            sampler=Heun(guidance=1.2),  # without it 97 % of the samples are recognised
        ),
        data=Pictures(name="digits", batch_size=64),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=4e-3, warmup=100), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=2000,
        steps_per_call=50,
        every=Every(log=100, evaluate=1000, sample=2000, checkpoint=2000),
    )
