"""CIFAR-10 by a Transformer over a VQ-VAE's codes, under the class: the second of two stages, after `vae/vq.py`.

Section 3.3 of arXiv 1711.00937 with a decoder of arXiv 1706.03762 in the place of a PixelCNN. The first stage's run is
a frozen part of this one: it turns pictures into 8x8 codes, and the codes that are drawn into pictures.

    jaxgen train --config configs/vae/vq.py --workdir runs/vq
    jaxgen train --config configs/transformer/vq_prior.py --workdir runs/vq_prior
    jaxgen sample --workdir runs/vq_prior --given horse ship --count 8 --set task.sampler.temperature=0.9

Over a first stage of MNIST, whose grid is 7x7: `--set data.name=mnist data.flip=false task.pictures.path=RUN
"task.network.token_shifts=(1,2,6,7,8)"`. Expect a Fréchet distance of 107 in cifar10-cnn, 32 % recognised and 4.50
nats a code after 44 minutes on one of two cores of an AMD EPYC beside other work (docs/vae.md).
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.core.part import Run
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.code_prior import CodePrior
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = Transformer(
        width=128,
        blocks=5,
        heads=4,
        hidden=384,
        token_shifts=(1, 2, 7, 8, 9),  # two codes before, and three above in a grid 8 wide
        dropout=0.1,
    )
    return Experiment(
        task=CodePrior(network=network, pictures=Run("runs/vq"), condition_dropout=0.05),
        data=Pictures(name="cifar10", batch_size=64, flip=True),
        optimisers={"likelihood": AdamW(learning_rate=Cosine(peak=2e-3, warmup=100), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=4_000,
        steps_per_call=20,
        every=Every(log=100, evaluate=2_000, sample=2_000, checkpoint=500),
        evaluate=Evaluated(examples=2_000),
    )
