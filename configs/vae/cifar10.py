"""A variational autoencoder on CIFAR-10, given the class: what `vae/vq.py` and its prior are to be compared with.

The evidence bound of arXiv 1312.6114 with discretised logistic mixtures (arXiv 1701.05517) for the pixels and a flow
of affine couplings (arXiv 1605.08803) for the prior of each class.

    tfds build cifar10 --file_format=array_record
    jaxgen train --config configs/vae/cifar10.py --workdir runs/vae_cifar10
    jaxgen evaluate --workdir runs/vae_cifar10

Expect 23.3 dB of pixels kept, a Fréchet distance of samples of 124 in cifar10-cnn-5e20, 24 % recognised and 6.02
bits/dim (2,000 pictures of the test, JPEG; docs/vae.md) after 132 minutes on one of two cores of an AMD EPYC beside
other work.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.objectives import EvidenceBound
from jaxgen.families.vae.task import Vae
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Vae(
            encoder=Encoder(width=512, blocks=2),
            decoder=Decoder(width=512, blocks=2, latent=128, components=2),
            prior=Prior(layers=6, width=128),
            objective=EvidenceBound(warmup=1000),
            importance_samples=16,
        ),
        data=Pictures(name="cifar10", batch_size=64, flip=True),
        optimisers={"bound": AdamW(learning_rate=Cosine(peak=5e-4, warmup=200), b2=0.99, weight_decay=0.05, clip=1e4)},
        averages={"slow": EMA(half_life=20_000)},
        steps=15_000,
        steps_per_call=20,
        every=Every(log=200, evaluate=5_000, sample=5_000, checkpoint=1_000),
        evaluate=Evaluated(examples=2_000),
    )
