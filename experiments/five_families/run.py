"""Trains five families on the same digits and tunes each; also translation, speech, captions and clips; makes one page.

python experiments/five_families/run.py [--out runs/five_families] [--run NAME]
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
    "gan": ("^discriminator/|^generator/(Block_1|to_picture)/", 600),
    "vae": ("^decoder/|^prior/", 300),
    "diffusion": ("^block_2/|^final/", 300),
}
OTHERS = (  # on data of their own
    *("rnn_translation", "transformer_translation", "rnn_speech", "transformer_captions", "gan_clips"),
)
RUNS = (*(f"{family}{kind}" for family in LAST_LAYERS for kind in ("", "_faded", "_reward")), *OTHERS)
RESTORED = "diffusion_restored"  # no run: what the diffusion run makes of damaged digits
LONGEST_FIRST = (  # so that no core waits at the end for a long run that began late
    *OTHERS,
    *(
        f"{family}{kind}"
        for kind in ("", "_reward", "_faded")
        for family in ("transformer", "diffusion", "gan", "vae", "rnn")
    ),
    RESTORED,
)
CONFIG = {  # of the kinds that have their own
    "reward": "digits_reward.py",
    "translation": "emoji_names.py",
    "speech": "spoken_numbers.py",
    "captions": "emoji_captions.py",
    "clips": "moving_digits.py",
}
_CRITICS = ("discriminator.spatial", "discriminator.temporal")
SHORTER = {  # what is changed of a config, as by --set, so that it takes a minute and a half of one core
    "speech": (
        *("data.seconds=1.5", "data.buckets=()", "data.utterances=3500", "data.tested=300"),
        *("data.surroundings=None", "data.batch_size=32", "averages.slow.half_life=3000"),
        *("task.network.bidirectional=true", "task.network.look_ahead=false"),
        *("task.network.width=96", "task.network.dropout=0.1"),
        *("optimisers.likelihood.learning_rate.peak=0.007", "optimisers.likelihood.learning_rate.warmup=60"),
        *("steps=1000", "every.evaluate=250", "every.sample=1000", "every.checkpoint=1000"),
    ),
    "captions": (
        *("data.pictures.size=32", "data.batch_size=32", "task.network.dropout=0.1", "averages.slow.half_life=2000"),
        *("steps=800", "every.log=50", "every.evaluate=200", "every.sample=800", "every.checkpoint=800"),
    ),
    "clips": (  # one digit on 8 frames of 16x16, by dense networks
        *("data.size=16", "data.frames=8", "data.most=1", "data.batch_size=32", "data.evaluated=1000"),
        *(f"task.{net}.{field}" for net in _CRITICS for field in ("channels=()", "stage_blocks=0", "patch=1")),
        *("task.discriminator.spatial.pooled=false", "task.discriminator.stride=4", "task.gamma=4"),
        *("task.generator.layers=1", "task.generator.motion=16"),
        *("task.generator.picture.width=128", "task.generator.picture.latent=32"),
        *("task.discriminator.spatial.blocks=2", "task.discriminator.temporal.blocks=2"),
        *("steps=4000", "every.log=100", "every.evaluate=1000", "every.sample=2000", "every.checkpoint=4000"),
        *("evaluate.examples=1000", "averages.slow.half_life=10000"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/five_families"), help="for runs and page (%(default)s)")
    alone = "this one alone; what it starts from must have been trained"
    parser.add_argument("--run", choices=(*RUNS, RESTORED), help=alone)
    options = parser.parse_args()
    set_up_jax()
    from jaxgen.running.study import compared

    work = everything if options.run is None else functools.partial(one_run, options.run)
    return compared(options.out, functools.partial(work, options.out))


def everything(out: Path, stop) -> None:
    """All runs, as many at a time as there are cores, and their page."""
    from restored import trial

    from jaxgen.running.side_by_side import Job, side_by_side
    from jaxgen.running.study import write_page

    def job(name: str) -> Job:
        family, _, kind = name.partition("_")
        command = (sys.executable, __file__, "--out", str(out), "--run", name)
        return Job(name, command, (family,) if kind in ("faded", "reward", "restored") else ())

    side_by_side([job(name) for name in LONGEST_FIRST], stop)
    if not stop():
        title = "Five families, the same digits; three also translate, hear speech, describe pictures and make clips"
        write_page([out / name for name in RUNS], out, title, "make demo", [trial(out / "diffusion")])


def one_run(name: str, out: Path, stop) -> None:
    """Train, fine-tune or reward one family, and measure it."""
    from restored import restore_digits

    from jaxgen.config.changes import set_fields
    from jaxgen.config.reading import load_experiment
    from jaxgen.core.start import Start
    from jaxgen.experiment import Experiment
    from jaxgen.running.study import measured

    family, _, kind = name.partition("_")
    if name == RESTORED:
        restore_digits(out / family)
        return
    experiment = load_experiment(CONFIGS / family / CONFIG.get(kind, "digits.py"), Experiment)
    experiment = set_fields(experiment, SHORTER.get(kind, ()))
    if kind == "faded":
        experiment = faded(experiment, family)
    if kind in ("faded", "reward"):
        experiment = dataclasses.replace(experiment, start=Start(str(out / family)))
    measured(experiment, out / name, stop)


def faded(trained, family: str):
    """The fine-tuning of a family's last layers to the digits in faded ink."""
    pattern, steps = LAST_LAYERS[family]
    from jaxgen.core.masks import Matching
    from jaxgen.experiment import Every

    return dataclasses.replace(
        trained,
        trainable=Matching(pattern),
        data=dataclasses.replace(trained.data, name="faded-digits"),
        steps=steps,
        every=Every(log=steps // 10, evaluate=steps, sample=steps, checkpoint=steps),
    )


if __name__ == "__main__":
    sys.exit(main())
