"""Three minutes of one core for each of five families on MNIST: whose samples, likelihoods and speed are best?

jaxgen ablate --config experiments/five_families_mnist/run.py --workdir runs/five_families_mnist
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.ablation import Ablation, Metric, Seconds
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment

LIKELIHOOD = "optimisers.likelihood"
AS_WELL = (  # 28x28 pictures instead of 8x8, forty times as many: wider, and hardly held back
    *("data.name=mnist", f"{LIKELIHOOD}.weight_decay=0.05", "task.network.dropout=0"),
)
FAMILIES = {
    "rnn": (
        "rnn/digits",
        *AS_WELL,
        *("task.network.token_shifts=(1,2,27,28,29)", "task.network.width=256", "data.batch_size=32"),
        f"{LIKELIHOOD}.learning_rate.peak=4e-3",
    ),
    "transformer": (
        "transformer/digits",
        *AS_WELL,
        *("task.network.token_shifts=(1,2,27,28,29)", "task.network.width=128", "task.network.hidden=256"),
        *("data.batch_size=16", f"{LIKELIHOOD}.learning_rate.peak=3e-3"),
    ),
    "gan": (
        "gan/mnist",
        *("task.generator.channels=(64,32)", "task.discriminator.channels=(64,32)"),
        *("task.generator.width=128", "task.discriminator.width=128"),
    ),
    "vae": (
        "vae/digits",
        *("data.name=mnist", "task.encoder.width=384", "task.decoder.width=384", "task.decoder.latent=32"),
        *("task.encoder.dropout=0", "task.decoder.dropout=0", "optimisers.bound.clip=1e3"),
    ),
    "diffusion": (
        "diffusion/mnist",
        *("task.network.width=128", "task.network.blocks=4", "task.network.heads=4", "data.batch_size=64"),
    ),
}
ALL = (
    *("averages.slow.half_life=20_000", "every.evaluate=100_000", "every.sample=100_000", "every.checkpoint=500"),
    "evaluate.examples=500",
)


def ablation() -> Ablation:
    return Ablation(
        {
            family: set_fields(load_experiment(config, Experiment), (*settings, *ALL))
            for family, (config, *settings) in FAMILIES.items()
        },
        axes={"seed": range(3)},
        metrics=(
            Metric("bits_per_dim"),
            Metric("frechet_distance[mnist-cnn-a9f9]"),
            Metric("recognised_fraction", lower=False),
            Metric("samples_per_second", lower=False),
        ),
        budget=Seconds(180),
    )
