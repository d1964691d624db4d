"""How much of a model must move to learn new classes? The digits 8 and 9, by five families that know 0 to 7.

jaxgen ablate --config experiments/fine_tuning/run.py --workdir runs/fine_tuning
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from jaxgen.ablation import PRETRAINED, Ablation, Design, Metric
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.low_rank_surgery import AddLowRank
from jaxgen.core.masks import Everything, Matching
from jaxgen.core.start import Start
from jaxgen.core.surgery import Surgery
from jaxgen.experiment import Every, Experiment
from jaxgen.families.rnn import rnn_growth
from jaxgen.families.transformer import transformer_growth
from jaxgen.types import LOW_RANK

STEPS = {"rnn": 100, "transformer": 100, "gan": 40, "vae": 30, "diffusion": 50}  # more would overfit 29 pictures
RATES = {  # shares of the config's learning rate that are not 1: README.md has how they were chosen
    "rnn": {"full": 0.1, "last-block": 0.3, "wider": 0.1, "scratch": 0.3},
    "transformer": {"full": 0.1, "last-block": 0.3, "lora": 0.3, "wider": 0.1, "scratch": 0.3},
    "diffusion": {"full": 0.3, "last-block": 0.3},
}
HEAD = {
    **{"rnn": "^head/", "transformer": "^head/", "gan": "/to_(features|picture)/"},
    **{"vae": "/likelihood/", "diffusion": "^final/"},
}
BLOCK = {
    **{"rnn": "^hidden/", "transformer": "^(block_2|final_norm)/", "gan": "/Block_1/"},
    **{"vae": "^decoder/trunk/(block_1|norm)/", "diffusion": "^block_2/"},
}


def ablation() -> Ablation:
    configs = {family: load_experiment(f"{family}/digits", Experiment) for family in STEPS}
    wider = {"rnn": (rnn_growth.Widen(192), "width=192"), "transformer": (transformer_growth.Widen(256), "hidden=256")}
    adapted = dict.fromkeys(("transformer", "diffusion"), (AddLowRank(4), "low_rank=4"))
    tuning = {
        "full": {family: tuned(family, "full") for family in STEPS},
        "last-block": {family: tuned(family, "last-block", f"{BLOCK[family]}|{HEAD[family]}") for family in STEPS},
        "head": {family: tuned(family, "head", HEAD[family]) for family in STEPS},
        "lora": {family: tuned(family, "lora", f"{LOW_RANK}/", *pair) for family, pair in adapted.items()},
        "wider": {family: tuned(family, "wider", None, *pair) for family, pair in wider.items()},
        "scratch": {family: partial(slower, family, "scratch") for family in STEPS},
    }
    return Ablation(
        {family: shorter(of, STEPS[family], only=(8, 9), fraction=0.1) for family, of in configs.items()},
        axes={"tuning": tuning, "seed": range(3)},
        metrics=(
            *(Metric("bits_per_dim"), Metric("frechet_distance[pixels]"), Metric("recognised_fraction", lower=False)),
            *(Metric("train_seconds"), Metric("training_megabytes")),
        ),
        design=Design.EACH_EXPERIMENT,
        pretrained={family: shorter(of, of.steps // 3, only=tuple(range(8))) for family, of in configs.items()},
    )


def tuned(
    family: str, level: str, moving: str | None = None, surgery: Surgery | None = None, size: str | None = None
) -> Callable[[Experiment], Experiment]:
    """From the pretrained run, which a surgery brings to the network's new size.

    What matches `moving`, and what reads the class, of which two are new, is trained; None: everything.
    """

    def change(of: Experiment) -> Experiment:
        of = set_fields(slower(family, level, of), [f"task.network.{size}"] if size else [])
        trainable = Matching(f"{moving}|(^|/)condition/") if moving else Everything()
        return replace(of, start=Start(PRETRAINED, surgery=(surgery,) if surgery else ()), trainable=trainable)

    return change


def slower(family: str, level: str, of: Experiment) -> Experiment:
    share = RATES.get(family, {}).get(level, 1.0)
    peaks = {turn: share * by.learning_rate.peak for turn, by in of.optimisers.items()}
    return set_fields(of, [f"optimisers.{turn}.learning_rate.peak={peak}" for turn, peak in peaks.items()])


def shorter(of: Experiment, steps: int, **data) -> Experiment:
    """On part of the data, in fewer steps, averages shortened in the same measure."""
    averages = {name: replace(one, half_life=one.half_life * steps / of.steps) for name, one in of.averages.items()}
    return replace(of, data=replace(of.data, **data), steps=steps, averages=averages, every=Every(*(steps,) * 4))
