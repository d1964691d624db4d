"""What every truth of the contract is tried on: each family's tasks, made small, with real examples."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import lively as livened

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.data import Traced
from jaxgen.core.part import Part, with_parts
from jaxgen.core.task import Policy, Task
from jaxgen.data.pictures import Pictures
from jaxgen.data.sources import ResidentExamples
from jaxgen.data.tokenizers import with_bytes
from jaxgen.experiment import Experiment
from jaxgen.rewards.functions import ClassProbability
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.types import NO_PARTS, Key, Parts, Variables
from tests.commands.command import ROOT
from tests.families.user_files import captioned, recordings
from tests.given import asked

BATCH, KEY = 16, jax.random.key(0)


@dataclass(frozen=True)
class Case:
    """A family's experiment made small, and what fine-tuning moves of it."""

    config: str
    small: tuple[str, ...]
    last: str  # its last layers, as a pattern


_ONE_BLOCK = ("task.network.blocks=1", "task.network.attention=(1,)")
DIGITS = {
    "rnn": Case(
        "rnn/digits",
        ("task.network.width=16", "task.network.head=16", "task.network.embedding=8"),
        "^head/|^hidden/",
    ),
    "transformer": Case(
        "transformer/digits",
        ("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
        "^block_1/|^head/",
    ),
    "gan": Case(
        "gan/digits",
        (
            *("task.generator.width=16", "task.discriminator.width=16"),
            *("task.augment=DiffAugment", "task.augment.ramp=64"),
        ),
        "^discriminator/|^generator/(Block_1|to_picture)/",
    ),
    "vae": Case(
        "vae/digits",
        ("task.encoder.width=16", "task.decoder.width=16", "task.prior.layers=2", "task.prior.width=16"),
        "^decoder/",
    ),
    "diffusion": Case(
        "diffusion/digits",
        ("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
        "^block_1/|^final",
    ),
    "diffusion-unet": Case(
        "diffusion/cifar10",
        ("data.name=digits", "data.flip=false", "task.network.width=8", "task.network.widths=(1,2)", *_ONE_BLOCK),
        "^up_|^out/",
    ),
}
# what else draws digits: the same network under another process, as a consistency model and as a MeanFlow
_FLOW = ("task.process=FlowMatching", "task.prediction=velocity", "task.noise=LogitNormal")
MORE_DIFFUSION = {
    "diffusion-flow": Case(
        "diffusion/digits",
        (*DIGITS["diffusion"].small, *_FLOW, "task.weighting=PredictionWeight"),
        "^block_1/|^final",
    ),
    "diffusion-few-steps": Case(
        "diffusion/few_steps",
        (
            *("task.model.network.width=16", "task.model.network.heads=2", "task.model.network.blocks=2"),
            *("data.name=digits", "start=none"),
        ),
        "^block_1/|^final",
    ),
    "diffusion-mean-flow": Case(
        "diffusion/digits_mean_flow",
        ("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
        "^block_1/|^final",
    ),
}
# the other nets of a VAE
_NARROW = ("task.encoder.width=12", "task.decoder.width=12", "task.encoder.inner=6", "task.decoder.inner=6")
_DIGITS = ("data.name=digits", "data.binarise=false", "data.given=true", "task.decoder.likelihood=CategoricalLevels")
MORE_VAES = {
    "vae-two-layers": Case(
        "vae/iwae",
        (
            *("task.encoder.widths=(16,8)", "task.decoder.widths=(16,8)", "task.decoder.latent=(6,4)", *_DIGITS),
            *("task.objective.samples=4", "task.importance_samples=20"),
        ),
        "^decoder/",
    ),
    "vae-hierarchy": Case(
        "vae/hierarchical",
        (
            *_NARROW,
            *("task.encoder.grid_blocks=(1,1)", "task.decoder.grid_blocks=(1,2)", "task.decoder.latent=2", *_DIGITS),
        ),
        "^decoder/",
    ),
    "vae-one-grid": Case(  # one stochastic layer, with convolutions
        "vae/hierarchical",
        (
            *_NARROW,
            *("task.encoder.grid_blocks=(1,)", "task.decoder.grid_blocks=(1,)", "task.decoder.latent=2", *_DIGITS),
        ),
        "^decoder/",
    ),
    "vae-vq": Case(
        "vae/vq",
        (
            *_NARROW,
            *("task.encoder.grid_blocks=(1,1)", "task.decoder.grid_blocks=(1,1)", "task.decoder.patch=1"),
            *("task.codebook.codes=32", "task.codebook.size=4", "task.decoder.likelihood=CategoricalLevels"),
            *("data.name=digits", "data.flip=false"),
        ),
        "^decoder/",
    ),
}
MORE_GANS = {
    "gan-stages": Case(
        "gan/cifar10",
        (
            *("data.name=digits", "data.flip=false", "task.generator.width=16", "task.discriminator.width=16"),
            *("task.generator.channels=(8,6)", "task.discriminator.channels=(8,6)", "task.discriminator.groups=2"),
        ),
        "^discriminator/|^generator/(Block_1|to_picture)/",
    ),
}
# priors over the codes of "vae-vq", whose task is their part
FIRST_STAGE = "vae-vq"
_CODES = ("data.name=digits", "data.flip=false", "task.network.dropout=0.0", "task.network.token_shifts=(1,4)")
PRIORS = {
    "rnn-codes": Case(
        "rnn/vq_prior", ("task.network.width=16", "task.network.head=16", "task.network.embedding=8", *_CODES), "^head/"
    ),
    "transformer-codes": Case(
        "transformer/vq_prior",
        ("task.network.width=16", "task.network.heads=2", "task.network.blocks=2", "task.network.hidden=16", *_CODES),
        "^block_1/|^head/",
    ),
}
PICTURES = DIGITS | MORE_DIFFUSION | MORE_VAES | MORE_GANS | PRIORS
TRANSLATION = {
    "rnn-translation": Case(
        "rnn/emoji_names",
        ("task.network.width=16", "task.network.embedding=8", "data.buckets=(40,)"),
        "^head/|^hidden/",
    ),
    "transformer-translation": Case(
        "transformer/emoji_names",
        (
            *("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
            *("task.network.encoder_blocks=1", "task.network.hidden=16", "data.buckets=(40,)"),
        ),
        "^block_1/|^head/",
    ),
}
_STEM = ("task.network.stem.mels=8", "task.network.stem.channels=8")
_RECORDINGS = (f"data.name={recordings()}", "data.rate=2000", *_STEM)
_CAPTIONED = (f"data.pictures={captioned()}", "task.network.stem.hidden=16", "task.network.stem.patch=4")
SPEECH = {
    "rnn-speech": Case("rnn/wav_folder", ("task.network.width=8", "task.network.layers=2", *_RECORDINGS), "^head/"),
    "transformer-speech": Case(
        "transformer/wav_folder",
        (
            *("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
            *("task.network.hidden=16", "task.network.chunk=3", "task.network.look_back=2", *_RECORDINGS),
        ),
        "^block_1/|^head/",
    ),
}
CAPTIONS = {
    "rnn-captions": Case(
        "rnn/emoji_captions", ("task.network.width=32", "task.network.embedding=32", *_CAPTIONED), "^head/|^hidden/"
    ),
    "transformer-captions": Case(
        "transformer/emoji_captions",
        (
            *("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
            *("task.network.encoder_blocks=1", "task.network.hidden=16", *_CAPTIONED),
        ),
        "^block_1/|^head/",
    ),
}
_TEXT = ("width=16", "blocks=1", "heads=2")  # of the encoder of a prompt
_PROMPTED = (f"data.pictures={captioned()}", "data.shift=0")
PROMPTS = {
    "diffusion-prompts": Case(
        "diffusion/emoji_prompt",
        (
            *("task.network.width=16", "task.network.heads=2", "task.network.blocks=2"),
            *("task.sampler.steps=4", "task.actions=4"),
            *(*_PROMPTED, *(f"task.network.text.{field}" for field in _TEXT)),
        ),
        "^block_1/|^final",
    ),
    "gan-prompts": Case(
        "gan/emoji",
        (
            *("task.generator.width=16", "task.discriminator.width=16"),
            *("task.generator.channels=(8,6)", "task.discriminator.channels=(8,6)", *_PROMPTED),
            *(f"task.{player}.text.{field}" for player in ("generator", "discriminator") for field in _TEXT),
        ),
        "^discriminator/|^generator/(Block_1|to_picture)/",
    ),
    "vae-prompts": Case(
        "vae/emoji",
        (
            *("task.encoder.width=16", "task.decoder.width=16", "task.encoder.dropout=0.0", "task.decoder.dropout=0.0"),
            *("task.prior.layers=2", "task.prior.width=16", "task.condition_dropout=0.3", *_PROMPTED),
            *(f"task.{network}.text.{field}" for network in ("encoder", "decoder") for field in _TEXT),
        ),
        "^decoder/",
    ),
}
_OF_LAYERS = (
    *("task.generator.motion=6", "task.generator.hidden=8", "task.generator.side=5"),
    *("task.generator.picture.width=16", "task.generator.picture.blocks=1", "task.generator.picture.latent=6"),
)
_OF_FRAMES = (
    *("task.generator=ClipGenerator", "task.generator.motion=6", "task.generator.hidden=8"),
    *("task.generator.frame.width=16", "task.generator.frame.blocks=1", "task.generator.frame.latent=6"),
    *("task.generator.frame.channels=(8,6)", "task.generator.frame.patch=2"),
)
_OF_CLIPS = {"width": 16, "channels": "(6,)", "patch": 4, "blocks": 1}
CLIPS = {
    name: Case(
        "gan/moving_digits",
        (
            *("data.frames=3", "data.size=12", "data.evaluated=160", *generator),
            *(f"task.discriminator.spatial.{name}={value}" for name, value in _OF_CLIPS.items()),
            *(f"task.discriminator.temporal.{name}={value}" for name, value in (_OF_CLIPS | {"patch": 2}).items()),
        ),
        f"^discriminator/|^generator/(motion_step|{last})/",
    )
    for name, generator, last in (
        ("gan-clips", _OF_LAYERS, "picture/to_picture"),
        ("gan-frames", _OF_FRAMES, "frame/to_picture"),
    )
}
CASES = PICTURES | TRANSLATION | SPEECH | CAPTIONS | PROMPTS | CLIPS

# the encoder and decoder of one family stand for the other's by default, and so do one process of diffusion, a GAN's
# dense pictures for its convolutional stages and its clips, and diffusion's prompts for others'; by hand all are tried
BY_HAND = (
    *("rnn-translation", "rnn-speech", "transformer-speech", "rnn-captions", "transformer-captions"),
    *("diffusion-unet", "diffusion-flow", "diffusion-few-steps", "diffusion-mean-flow"),
    *("vae-two-layers", "vae-hierarchy", "vae-one-grid", "vae-prompts", "gan-stages", "gan-prompts", "gan-clips"),
    *("gan-frames", "rnn-codes"),
)
# leaves that nothing moves: what is embedded where a prompt is hidden, of a task that hides none
IDLE = {"gan-prompts": {"generator/condition/kernel", "discriminator/condition/kernel"}}
every_case = pytest.mark.parametrize(
    "family", [pytest.param(case, marks=[pytest.mark.slow] * (case in BY_HAND)) for case in CASES]
)


@functools.cache
def experiment_of(case: str) -> Experiment:
    experiment = load_experiment(ROOT / f"configs/{CASES[case].config}.py", Experiment)
    experiment = set_fields(experiment, CASES[case].small)
    if case not in PRIORS:
        return experiment
    stage = task_of(FIRST_STAGE)
    return with_parts(experiment, {"task.pictures": Part("pictures", "task.pictures", stage, stage.spec)})


@functools.cache
def task_of(case: str) -> Task:
    experiment = experiment_of(case)
    return experiment.task.sized(experiment.data.spec())


def fresh(case: str, key: Key = KEY) -> Variables:
    """The variables before the first step, with those of its parts."""
    return jax.jit(task_of(case).init)(key).replace(parts=parts_of(case))


def parts_of(case: str) -> Parts:
    """The variables of a prior's first stage; its decoder's are enlarged, so that its pictures differ."""
    if case not in PRIORS:
        return NO_PARTS
    params = lively(FIRST_STAGE).params
    enlarged = jax.tree.map(lambda leaf: 4 * leaf, params["decoder"])
    return {"pictures": lively(FIRST_STAGE).replace(params=params | {"decoder": enlarged})}


@functools.cache
def lively(case: str) -> Variables:
    """Parameters none of which is zero, as after some training: fresh ones hide what follows from them."""
    with jax.ensure_compile_time_eval():  # what is kept must be arrays, wherever it is asked for first
        return livened(fresh(case))


@functools.cache
def batch_of(case: str, size: int = BATCH) -> dict[str, Any]:
    data = experiment_of(case).data
    batch = data.first("train", size)
    return (batch if case in PICTURES | CLIPS else with_bytes(batch, data.codec("made"))) | {"row": np.arange(size)}


def request_of(case: str, size: int, first: int = 0) -> dict[str, Any]:
    """A request for `size` samples: of all classes in turn, or for what the data give."""
    if case in PICTURES:
        return asked((first + np.arange(size, dtype=np.int32)) % 10)
    if case in CLIPS:
        return {"row": first + np.arange(size, dtype=np.int32), "given": {}}
    given = jax.tree.map(lambda array: array[first:], batch_of(case, first + size)["given"])
    return {"row": np.arange(size), "given": given}


def source_of(case: str) -> Traced:
    """A traced source of real batches."""
    if case in PICTURES:
        return Pictures(batch_size=BATCH).source()
    data = experiment_of(case).data
    if case in CLIPS:
        return replace(data, batch_size=BATCH).source()
    return ResidentExamples(jax.tree.map(jnp.asarray, data.first("train", 10 * BATCH)), data.spec(), BATCH)


def tuning_of(case: str) -> ScoreFunction | Pathwise:
    reward = ClassProbability(target=3)
    return ScoreFunction(reward, group=4) if isinstance(task_of(case), Policy) else Pathwise(reward)
