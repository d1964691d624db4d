"""A diffusion transformer on a folder of pictures of your own, in 32x32: EDM's loss, as its authors condition it.

DiT (arXiv 2212.09748) under EDM (arXiv 2206.00364); where the folder has class folders, with class guidance (arXiv
2207.12598). The folder is called `pictures`, or named by --set data.name=FOLDER; `docs/own_pictures.md` says more.

    jaxgen train --config configs/diffusion/pictures.py --set data.name=FOLDER --workdir runs/pictures
    jaxgen sample --workdir runs/pictures --out samples.png

EXPECT
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.task import Diffusion, Heun
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=DiffusionTransformer(width=192, blocks=4, heads=6, patch=8),
            sigma_data=0.6,
            sigma_min=0.01,
            p_mean=0.0,
            sampler=Heun(guidance=1.5),
        ),
        data=Pictures(name="pictures", size=32, batch_size=64),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=2e-3, warmup=100), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=10_000)},
        steps=2000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=500, checkpoint=500),
        evaluate=Evaluated(examples=256),
    )
