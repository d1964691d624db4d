"""Which part of a GAN should move when few pictures of another set are there? Five ways, beside training from nothing.

python experiments/few_shot_gan/run.py [--out runs/few_shot_gan] [--seeds 3] [--run NAME]
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import dataclasses
import functools
import json
import sys
from pathlib import Path

from jaxgen.environment import set_up_jax

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "gan" / "digits.py"
STEPS, FRACTION = 300, 0.03  # of faded digits: 43 pictures
FIGURES = ("frechet_distance[pixels]", "two_sample_accuracy")

# What moves, and whether DiffAugment changes what the discriminator sees.
EVERYTHING = ""
FREEZE_D = "^generator/|^discriminator/(Block_1|to_features|condition)/"  # FreezeD, arXiv 2002.10964
LAST = "^generator/(Block_1|to_picture)/|^discriminator/"
WAYS = {
    "scratch": (None, False),
    "scratch-augmented": (None, True),
    "all": (EVERYTHING, False),
    "last": (LAST, False),
    "freeze-d": (FREEZE_D, False),
    "freeze-d-augmented": (FREEZE_D, True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/few_shot_gan"), help="folder for the runs (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many of each (%(default)s)")
    parser.add_argument("--run", metavar="WAY_SEED", help="this one alone, such as freeze-d_0 or digits_0")
    options = parser.parse_args()
    set_up_jax()
    from jaxgen.running.study import compared

    if options.run is None:
        return compared(options.out, functools.partial(everything, options.out, options.seeds))
    return compared(options.out, functools.partial(one_run, options.out, options.run))


def everything(out: Path, seeds: int, stop) -> None:
    """A run on all digits for each seed and all ways from there, results.json and a table on stdout."""
    from jaxgen.atomic_write import write_whole
    from jaxgen.running.side_by_side import Job, side_by_side

    def job(way: str, seed: int) -> Job:
        command = (sys.executable, __file__, "--out", str(out), "--run", f"{way}_{seed}")
        return Job(f"{way}_{seed}", command, () if WAYS.get(way, (None,))[0] is None else (f"digits_{seed}",))

    side_by_side([job(way, seed) for way in ("digits", *WAYS) for seed in range(seeds)], stop)
    if stop():
        return
    rows = [{"way": way, "seed": seed, **_figures(out / f"{way}_{seed}")} for way in WAYS for seed in range(seeds)]
    write_whole(out / "results.json", json.dumps(rows, indent=2) + "\n")
    print("| way | " + " | ".join(FIGURES) + " |\n|---|---|---|")
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        print(f"| {way} | " + " | ".join(", ".join(f"{row[name]:.3f}" for row in own) for name in FIGURES) + " |")


def _figures(run: Path) -> dict[str, float]:
    summary = json.loads((run / "summary.json").read_text())
    return {name: summary[name] for name in FIGURES}


def one_run(out: Path, name: str, stop) -> None:
    """Train one run and measure it; UserError for a name that is none."""
    from jaxgen.config.reading import load_experiment
    from jaxgen.errors import UserError, nearest
    from jaxgen.experiment import Experiment
    from jaxgen.running.study import measured

    way, _, seed = name.rpartition("_")
    if way not in ("digits", *WAYS) or not seed.isdecimal():
        known = [f"{way}_0" for way in ("digits", *WAYS)]
        raise UserError(f"--run {name} is no run of this experiment{nearest(name, known)}")
    trained = dataclasses.replace(load_experiment(CONFIG, Experiment), seed=int(seed))
    found = trained if way == "digits" else transferred(trained, way, out / f"digits_{seed}")
    measured(found, out / name, stop)


def transferred(trained, way: str, start: Path):
    """The experiment on few faded digits: from `start`, or from nothing."""
    from jaxgen.core.masks import Matching
    from jaxgen.core.start import Start
    from jaxgen.experiment import Every
    from jaxgen.families.gan.diff_augment import DiffAugment
    from jaxgen.training.averages import EMA

    pattern, augmented = WAYS[way]
    few = dataclasses.replace(
        trained,
        task=dataclasses.replace(trained.task, augment=DiffAugment() if augmented else None),
        data=dataclasses.replace(trained.data, name="faded-digits", fraction=FRACTION, batch_size=32),
        steps=STEPS,
        averages={"slow": EMA(half_life=1_000)},
        every=Every(log=STEPS, evaluate=STEPS, sample=STEPS, checkpoint=STEPS),
    )
    if pattern is None:
        return few
    return dataclasses.replace(few, start=Start(str(start)), trainable=Matching(pattern))


if __name__ == "__main__":
    sys.exit(main())
