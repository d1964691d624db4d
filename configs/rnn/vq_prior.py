"""CIFAR-10 by an LSTM over a VQ-VAE's codes, under the class: `configs/transformer/vq_prior.py` with another network.

Section 3.3 of arXiv 1711.00937 with long short-term memory (Hochreiter and Schmidhuber 1997) in the place of a
PixelCNN. Train the first stage first: `jaxgen train --config configs/vae/vq.py --workdir runs/vq`.

    jaxgen train --config configs/rnn/vq_prior.py --workdir runs/vq_prior_rnn

Expect on two cores of an AMD EPYC: not run.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from pathlib import Path

from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.families.rnn.network import Cell, RecurrentNetwork


def experiment() -> Experiment:
    transformer = load_experiment(Path(__file__).parent.with_name("transformer") / "vq_prior.py", Experiment)
    network = RecurrentNetwork(
        cell=Cell.LSTM,
        width=512,
        token_shifts=(1, 7, 8, 9),  # the code before, and the three above in a grid 8 wide
        head=256,
        dropout=0.1,
    )
    return dataclasses.replace(transformer, task=dataclasses.replace(transformer.task, network=network))
