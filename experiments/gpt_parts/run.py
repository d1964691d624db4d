"""Do the published effects of a GPT's parts keep their sign in a network of 0.8 million parameters?

jaxgen ablate --config experiments/gpt_parts/run.py --workdir runs/gpt_parts
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.ablation import Ablation, Design, Elements, Metric
from jaxgen.data.text import Text
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine

TOKENS = 1_536_000  # 1,500 steps: one and a half epochs


def ablation() -> Ablation:
    return Ablation(
        base(),
        axes={
            "positions": {
                "rotary": [],
                "learned": ["task.network.parts.position=LEARNED"],
                "none": ["task.network.parts.position=NONE"],
            },
            "norm": {"rms": [], "layer": ["task.network.parts.norm=LAYER"]},
            "activation": {
                "gelu": [],
                "relu-squared": ["task.network.parts.activation=RELU_SQUARED"],
                # two thirds of the units: as many weights (arXiv 2002.05202, section 3)
                "swiglu": ["task.network.parts.activation=SWIGLU", "task.network.hidden=341"],
            },
            "query_key_norm": {"without": [], "with": ["task.network.parts.query_key_norm=true"]},
            "last_layers": {"drawn": [], "zero": ["task.network.parts.zero_init=true"]},
            "head": {"own": [], "tied": ["task.network.parts.tied_head=true"]},
            "optimiser": {
                "adamw": [],
                "muon": [
                    "optimisers.likelihood=Muon",
                    "optimisers.likelihood.learning_rate=Cosine",
                    "optimisers.likelihood.learning_rate.peak=5e-3",
                    "optimisers.likelihood.learning_rate.warmup=100",
                    "optimisers.likelihood.b2=0.99",
                    "optimisers.likelihood.weight_decay=0.1",
                    "optimisers.likelihood.clip=1.0",
                ],
            },
            "soft_cap": {"none": [], "15": ["task.network.parts.soft_cap=15"]},
            "seed": range(5),
        },
        metrics=(Metric("bits_per_character"),),
        budget=Elements(TOKENS),
        design=Design.ONE_AT_A_TIME,
    )


def base() -> Experiment:
    """nanoGPT's recipe for CPUs in its sizes, with today's defaults."""
    rate = Cosine(peak=2e-3, warmup=100)
    return Experiment(
        task=LanguageModel(network=Transformer(width=128, blocks=4, heads=4, hidden=512)),
        data=Text(name="tiny_shakespeare", test="validation+test", batch_size=16, length=64),
        optimisers={"likelihood": AdamW(learning_rate=rate, b2=0.99, weight_decay=0.1, clip=1.0)},
        steps=1_500,
        steps_per_call=20,
        every=Every(log=100, evaluate=500, sample=1_500, checkpoint=500),
    )
