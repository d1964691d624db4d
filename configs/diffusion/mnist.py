"""A diffusion transformer on MNIST, given the digit: EDM's loss, 35 evaluations a sample.

DiT (arXiv 2212.09748) under EDM (arXiv 2206.00364), with class guidance (arXiv 2207.12598).

    jaxgen train --config configs/diffusion/mnist.py --workdir runs/mnist
    jaxgen evaluate --workdir runs/mnist --set evaluate.examples=500

Expect 99.6 % of the samples to be recognised, a Fréchet distance of 3.8 in mnist-cnn-a9f9 (500 samples; real pictures
2.2), and a bound of 2.68 bits/dim. Without guidance, by 1,000 samples, 94.2 % and 3.6 (real pictures 1.4). One seed, 84
minutes beside other work on two cores of an AMD EPYC with AVX-512, which by itself takes 254 ms a step of 64.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogNormal
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=DiffusionTransformer(width=192, blocks=6, heads=6, patch=4),
            sigma_data=0.95,
            sigma_min=0.02,
            sigma_max=80.0,
            noise=LogNormal(mean=-0.4, std=1.3),
            sampler=Heun(steps=18, guidance=1.5),  # without it 94 % of the samples are recognised
        ),
        data=Pictures(name="mnist", batch_size=128),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=2e-3, warmup=200), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=50_000)},
        steps=7_000,
        steps_per_call=20,
        every=Every(log=100, evaluate=7_000, sample=3_500, checkpoint=1_000),
        evaluate=Evaluated(examples=256),
    )
