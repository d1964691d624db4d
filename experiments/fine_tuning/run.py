"""Does fine-tuning help? Eight classes learned first, then a tenth of the data of the other two, against from scratch.

python experiments/fine_tuning/run.py [--out runs/fine_tuning] [--seeds 3] [--run NAME]
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import dataclasses
import functools
import json
import sys
from pathlib import Path

from jaxgen.environment import set_up_jax

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
KNOWN, NEW = tuple(range(8)), (8, 9)

# What is tuned of each family (its last layers, and the embeddings of the classes), in how many steps, and the figure
# that tells: lower is better. A GAN has no likelihood.
FAMILIES = {
    "rnn": ("^hidden/|^head/|^condition/", 100, "bits_per_dim"),
    "transformer": ("^block_2/|^head/|^condition/", 100, "bits_per_dim"),
    "gan": ("^discriminator/|^generator/(Block_1|to_picture|condition)/", 40, "frechet_distance[pixels]"),
    "vae": ("^decoder/|^prior/", 30, "bits_per_dim"),
    "diffusion": ("^block_2/|^final/|^condition/", 50, "bits_per_dim"),
}


KINDS = ("known", "tuned", "scratch")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/fine_tuning"), help="folder for the runs (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many of each (%(default)s)")
    parser.add_argument("--run", metavar="FAMILY_SEED_KIND", help="this one alone, such as vae_0_known")
    options = parser.parse_args()
    set_up_jax()
    from jaxgen.running.study import compared

    if options.run is None:
        return compared(options.out, functools.partial(everything, options.out, options.seeds))
    return compared(options.out, functools.partial(one_run, options.out, options.run))


def everything(out: Path, seeds: int, stop) -> None:
    """Three runs of each family and seed, results.json and a table on stdout."""
    from jaxgen.atomic_write import write_whole
    from jaxgen.running.side_by_side import Job, side_by_side

    def job(family: str, seed: int, kind: str) -> Job:
        name = f"{family}_{seed}_{kind}"
        command = (sys.executable, __file__, "--out", str(out), "--run", name)
        return Job(name, command, (f"{family}_{seed}_known",) if kind == "tuned" else ())

    side_by_side([job(family, seed, kind) for kind in KINDS for family in FAMILIES for seed in range(seeds)], stop)
    if stop():
        return
    rows = [row_of(out, family, seed) for family in FAMILIES for seed in range(seeds)]
    write_whole(out / "results.json", json.dumps(rows, indent=2) + "\n")
    print("| family | seed | figure on the two new classes | tuned | from scratch |\n|---|---|---|---|---|")
    for row in rows:
        print("| {family} | {seed} | {figure} | {tuned:.3f} | {scratch:.3f} |".format(**row))


def one_run(out: Path, name: str, stop) -> None:
    """Train one run and measure it; UserError for a name that is none."""
    from jaxgen.config.reading import load_experiment
    from jaxgen.errors import UserError, nearest
    from jaxgen.experiment import Experiment
    from jaxgen.running.study import measured

    family, seed, kind = [*name.split("_"), "", ""][:3]
    if family not in FAMILIES or not seed.isdecimal() or kind not in KINDS:
        known = [f"{family}_0_{kind}" for family in FAMILIES for kind in KINDS]
        raise UserError(f"--run {name} is no run of this experiment{nearest(name, known)}")
    trained = load_experiment(CONFIGS / family / "digits.py", Experiment)
    measured(runs_of(dataclasses.replace(trained, seed=int(seed)), family, out, int(seed))[kind], out / name, stop)


def row_of(out: Path, family: str, seed: int) -> dict:
    figure = FAMILIES[family][2]
    tuned, scratch = (
        json.loads((out / f"{family}_{seed}_{kind}" / "summary.json").read_text())[figure]
        for kind in ("tuned", "scratch")
    )
    return {"family": family, "seed": seed, "figure": figure, "tuned": tuned, "scratch": scratch}


def runs_of(trained, family: str, out: Path, seed: int) -> dict:
    """The experiments: eight classes; two classes tuned from there; two classes from scratch, in as many steps."""
    from jaxgen.core.masks import Matching
    from jaxgen.core.start import Start

    pattern, steps, _ = FAMILIES[family]
    new = shorter(trained, steps, only=NEW, fraction=0.1)
    start = Start(str(out / f"{family}_{seed}_known"))
    return {
        "known": shorter(trained, trained.steps // 3, only=KNOWN),
        "tuned": dataclasses.replace(new, start=start, trainable=Matching(pattern)),
        "scratch": new,
    }


def shorter(trained, steps: int, **data):
    """The experiment on part of its data, in fewer steps, its averages shortened in the same measure."""
    from jaxgen.experiment import Every

    share = steps / trained.steps
    return dataclasses.replace(
        trained,
        data=dataclasses.replace(trained.data, **data),
        steps=steps,
        averages={
            name: dataclasses.replace(average, half_life=average.half_life * share)
            for name, average in trained.averages.items()
        },
        every=Every(log=steps, evaluate=steps, sample=steps, checkpoint=steps),
    )


if __name__ == "__main__":
    sys.exit(main())
