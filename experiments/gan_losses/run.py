"""Which parts of R3GAN's game matter on MNIST: its pairing of real and fake, the penalty on reals, that on fakes?

jaxgen ablate --config experiments/gan_losses/run.py --workdir runs/gan_losses
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.ablation import Ablation, Flops, Metric
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment

# Half of gan/mnist's channels and widths, so that 24 runs fit an hour of two cores.
SMALLER = (
    *("task.generator.channels=(64,32)", "task.discriminator.channels=(64,32)"),
    *("task.generator.width=128", "task.discriminator.width=128"),
    *("averages.slow.half_life=20_000", "every.evaluate=100_000", "every.sample=1000", "every.checkpoint=1000"),
)
NON_SATURATING, R1 = "task.loss=NON_SATURATING", "task.penalty=REAL"
GAMES = {
    "r3gan": (),
    "no-pairing": (NON_SATURATING,),
    "no-r2": (R1,),
    "no-r1": ("task.penalty=FAKE",),
    "no-penalty": ("task.gamma=0",),
    "non-saturating,r1": (NON_SATURATING, R1),  # arXiv 1801.04406
    "hinge,r1": ("task.loss=HINGE", R1),
    "wgan-gp": ("task.loss=WASSERSTEIN", "task.penalty=INTERPOLATES", "task.gamma=20", "task.critic_turns=5"),
}


def ablation() -> Ablation:
    return Ablation(
        set_fields(load_experiment("gan/mnist", Experiment), SMALLER),
        axes={"game": GAMES, "seed": range(3)},
        metrics=(
            Metric("frechet_distance[mnist-cnn-a9f9]"),
            Metric("recognised_fraction", lower=False),
            Metric("recall[mnist-cnn-a9f9]", lower=False),
        ),
        budget=Flops(2e13),
    )
