"""How much quality does a translation lose that is made while the sentence is read, or heard, and at which lag?

jaxgen ablate --config experiments/latency/run.py --workdir runs/latency
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.ablation import Ablation, Design, Metric
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment

# Fewer steps than the configs' 5,000 and 3,000, so that three seeds of both fit an hour of two cores.
TASKS = {
    "text": ("transformer/multi30k_wait_k", 2000),
    "speech": ("transformer/streaming_speech_translation", 1500),
}
WAITS = {"text": (1, 2, 3, 5, 7, 9), "speech": (1, 2, 3, 4, 6, 8)}  # tokens; strides of 0.32 s


def ablation() -> Ablation:
    waits = {str(k): {name: [f"task.sampler.wait_k={k}"] for name in TASKS if k in WAITS[name]} for k in range(1, 10)}
    return Ablation(
        {name: shorter(config, steps) for name, (config, steps) in TASKS.items()},
        axes={"wait": {"all": ["task.sampler.wait_k=none"]} | waits, "seed": range(3)},
        metrics=(
            Metric("bleu", lower=False),
            Metric("chrf", lower=False),
            Metric("exact_match", lower=False),
            Metric("average_lagging_tokens"),
            Metric("average_lagging_s"),
        ),
        design=Design.EACH_EXPERIMENT,
    )


def shorter(config: str, steps: int) -> Experiment:
    return set_fields(
        load_experiment(config, Experiment),
        (f"steps={steps}", f"every.evaluate={steps}", f"every.sample={steps}", "every.checkpoint=500"),
    )
