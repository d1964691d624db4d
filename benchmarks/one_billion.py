"""A transformer of a billion parameters that reads Python's documentation: to be described. It has not been run.

The depth and width are near GPT-3 XL's (arXiv 2005.14165, table 2.1); positions are rotary. It multiplies in bfloat16,
keeps of each block its input and what its dense layers give, and compiles one block for all.

    jaxgen describe --config benchmarks/one_billion.py

Expect 1,020,100,711 parameters, told with nothing allocated; what it would reach when trained is not known.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.text import Text
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = Transformer(
        width=2304, blocks=16, heads=18, hidden=9216, precision=Precision.BFLOAT16, remat=Remat.PRODUCTS, scan=True
    )
    return Experiment(
        task=LanguageModel(network=network),
        data=Text(name="python-docs", batch_size=8, length=1024),
        optimisers={
            "likelihood": AdamW(learning_rate=Cosine(peak=2e-4, warmup=2000), b2=0.95, weight_decay=0.1, clip=1.0)
        },
        steps=100_000,
    )
