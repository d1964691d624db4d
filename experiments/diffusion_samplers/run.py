"""How many evaluations of the network does a good picture take, and which sampler needs the fewest?

jaxgen ablate --config experiments/diffusion_samplers/run.py --workdir runs/diffusion_samplers
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.ablation import Ablation, Metric
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment

# Half of diffusion/mnist's pictures a step, 0.3 of its computing for each; three seeds fit an hour of two cores.
SMALLER = (
    *("task.network.width=128", "task.network.blocks=4", "task.network.heads=4", "data.batch_size=64"),
    "task.sampler.guidance=none",
    *("steps=3000", "averages.slow.half_life=20_000", "every.evaluate=10_000", "every.sample=3000"),
    "evaluate.examples=500",
)
# Heun's method evaluates the network twice a step, but once in the last.
STEPS = {
    "Heun": {7: 4, 15: 8, 31: 16},
    **{name: {7: 7, 15: 15, 31: 31} for name in ("Euler", "DPMSolver2M", "DDIM", "Ancestral")},
}


def ablation() -> Ablation:
    samplers = {
        f"{name.lower()} {evaluations}": (f"task.sampler={name}", f"task.sampler.steps={steps}")
        for name, by in STEPS.items()
        for evaluations, steps in by.items()
    }
    return Ablation(
        set_fields(load_experiment("diffusion/mnist", Experiment), SMALLER),
        axes={"sampler": samplers, "seed": range(3)},
        metrics=(
            Metric("frechet_distance[mnist-cnn-a9f9]"),
            Metric("recognised_fraction", lower=False),
            Metric("samples_per_second", lower=False),
        ),
    )
