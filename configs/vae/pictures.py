"""A variational autoencoder on a folder of pictures of your own, in 32x32: a likelihood of whole levels, and a prior.

The evidence bound of arXiv 1312.6114 with discretised logistic mixtures (arXiv 1701.05517) for the pixels and a flow
of affine couplings (arXiv 1605.08803) for the prior. The folder is called `pictures`, or named by --set
data.name=FOLDER; `docs/own_pictures.md` says more.

    jaxgen train --config configs/vae/pictures.py --set data.name=FOLDER --workdir runs/pictures
    jaxgen sample --workdir runs/pictures --out samples.png

Expect legible digits with noisy edges, most of the class that was asked for, after 1,000 steps on 1,797 coloured
drawings of digits, a folder for each: about 9 minutes on two cores that other programs shared. What all 2,000 steps
make of them was not measured.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.task import Vae
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Vae(
            encoder=Encoder(width=256, blocks=2, dropout=0.1),
            decoder=Decoder(width=256, blocks=2, dropout=0.1, latent=16, components=2),
            prior=Prior(layers=6, width=96),
        ),
        data=Pictures(name="pictures", size=32, batch_size=32),
        optimisers={"bound": AdamW(learning_rate=Cosine(peak=1e-3, warmup=100), b2=0.99, weight_decay=0.05, clip=1e4)},
        averages={"slow": EMA(half_life=10_000)},
        steps=2000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=500, checkpoint=500),
        evaluate=Evaluated(examples=256),
    )
