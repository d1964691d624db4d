"""CIFAR-10 by an LSTM over a VQ-VAE's codes, under the class: the second stage with another network.

Section 3.3 of arXiv 1711.00937 with long short-term memory (Hochreiter and Schmidhuber 1997) in the place of a
PixelCNN. Train the first stage first: `jaxgen train --config configs/vae/vq.py --workdir runs/vq`.

    jaxgen train --config configs/rnn/vq_prior.py --workdir runs/vq_prior_rnn

Expect on two cores of an AMD EPYC: not run.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.core.part import Run
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.code_prior import CodePrior
from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = RecurrentNetwork(
        cell=Cell.LSTM,
        width=512,
        token_shifts=(1, 7, 8, 9),  # the code before, and the three above in a grid 8 wide
        head=256,
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
