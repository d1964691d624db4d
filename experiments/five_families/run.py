"""Trains all five families on the same digits, fine-tunes and rewards each, and puts them side by side on one page.

python experiments/five_families/run.py [--out runs/five_families]
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import dataclasses
import functools
import sys
from pathlib import Path

from jaxgen.environment import set_up_jax

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

# What a fine-tuning to faded ink moves of each family, in how many steps.
LAST_LAYERS = {
    "rnn": ("^hidden/|^head/", 100),
    "transformer": ("^block_2/|^head/", 100),
    "gan": ("^discriminator/|^generator/(Block_1|to_picture)/", 1000),
    "vae": ("^decoder/|^prior/", 500),
    "diffusion": ("^block_2/|^final/", 300),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/five_families"), help="for runs and page (%(default)s)")
    out = parser.parse_args().out
    set_up_jax()
    from jaxgen.commands.compare import compared

    return compared(out, functools.partial(everything, out))


def everything(out: Path, stop) -> None:
    """Fifteen runs and their page."""
    from jaxgen.commands.compare import measured, write_page
    from jaxgen.config.reading import load_experiment
    from jaxgen.experiment import Experiment

    runs = []
    for family in LAST_LAYERS:
        trained = load_experiment(CONFIGS / family / "digits.py", Experiment)
        rewarded = load_experiment(CONFIGS / family / "digits_reward.py", Experiment)
        start = str(out / family)
        runs += [
            measured(trained, out / family, stop),
            measured(faded(trained, family, start), out / f"{family}_faded", stop),
            measured(dataclasses.replace(rewarded, start=start), out / f"{family}_reward", stop),
        ]
        if stop():
            return
    write_page(runs, out, "Five families, the same digits", command="make demo")


def faded(trained, family: str, start: str):
    """The fine-tuning of a family's last layers to the digits in faded ink."""
    pattern, steps = LAST_LAYERS[family]
    from jaxgen.core.masks import Matching
    from jaxgen.experiment import Every

    return dataclasses.replace(
        trained,
        start=start,
        moves=Matching(pattern),
        data=dataclasses.replace(trained.data, name="faded-digits"),
        steps=steps,
        every=Every(log=steps // 10, evaluate=steps, sample=steps, checkpoint=steps),
    )


if __name__ == "__main__":
    sys.exit(main())
