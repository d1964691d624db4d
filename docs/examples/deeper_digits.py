"""The digits Transformer with two more blocks, of which alone it is trained at first.

    jaxgen train --config transformer/digits --workdir runs/digits
    jaxgen train --config docs/examples/deeper_digits.py --workdir runs/deeper --start runs/digits
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

from jaxgen.config.reading import load_experiment
from jaxgen.core.start import OnlyNew, Start
from jaxgen.experiment import Experiment
from jaxgen.families.transformer.transformer_growth import Deepen


def experiment() -> Experiment:
    trained = load_experiment("transformer/digits", Experiment)
    network = dataclasses.replace(trained.task.network, blocks=trained.task.network.blocks + 2)
    return dataclasses.replace(
        trained,
        task=dataclasses.replace(trained.task, network=network),
        start=Start("runs/digits", surgery=(Deepen(2),)),  # the logits are the same until it is trained
        trainable=OnlyNew(),
        steps=200,
    )
