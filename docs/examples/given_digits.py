"""A VAE of digits that was given nothing, from now on given the digit; what is new alone is trained.

    jaxgen train --config vae/digits --workdir runs/any_digit --set data.given=false
    jaxgen train --config docs/examples/given_digits.py --workdir runs/given_digit --start runs/any_digit
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

from jaxgen.config.reading import load_experiment
from jaxgen.core.start import OnlyNew, Start
from jaxgen.experiment import Experiment
from jaxgen.families.vae.vae_growth import NewCondition


def experiment() -> Experiment:
    return dataclasses.replace(
        load_experiment("vae/digits", Experiment),
        start=Start("runs/any_digit", surgery=(NewCondition(),)),  # the bounds are the same until it is trained
        trainable=OnlyNew(),
        steps=300,
    )
