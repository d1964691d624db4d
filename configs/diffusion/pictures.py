"""A diffusion transformer on a folder of pictures of your own, in 32x32: EDM's loss, as its authors condition it.

DiT (arXiv 2212.09748) under EDM (arXiv 2206.00364); where the folder has class folders, given the class (`--set
task.sampler.guidance=1.5` draws with guidance, arXiv 2207.12598). The folder is called `pictures`, or named by --set
data.name=FOLDER; `docs/own_pictures.md` says more.

    jaxgen train --config configs/diffusion/pictures.py --set data.name=FOLDER --workdir runs/pictures
    jaxgen sample --workdir runs/pictures --out samples.png

Expect partly legible digits, with visible borders between the patches, after 1,000 steps on 1,797 coloured drawings of
digits, a folder for each, drawn with guidance 1.5: about 8 minutes on two cores that other programs shared. What all
4,000 steps make of them was not measured.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogNormal
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=DiffusionTransformer(width=192, blocks=4, heads=6, patch=8),
            sigma_data=0.6,
            sigma_min=0.01,
            noise=LogNormal(mean=0.0),
        ),
        data=Pictures(name="pictures", size=32, batch_size=64),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=2e-3, warmup=100), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=4000,
        steps_per_call=10,
        every=Every(log=50, evaluate=2000, sample=1000, checkpoint=1000),
        evaluate=Evaluated(examples=256),
    )
