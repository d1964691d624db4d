"""jaxgen in Python and in notebooks: `train`, `load`, and a run that samples, is evaluated and scores examples.

It is the command line without its command line: the same experiments, folders, sentences and figures.
"""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import enum
import functools
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxgen.commands.score import scores_of
from jaxgen.environment import set_up_jax
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Sampling, Stopped
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.running.evaluate_run import evaluate_trained
from jaxgen.running.sample_run import samples_of
from jaxgen.running.stopping import Stop
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained

Config = Experiment | str | os.PathLike  # an experiment, its file, or the name of one that ships (rnn/digits)
Given = str | int | os.PathLike | Sequence[str | int | os.PathLike]

_OPTIONS = {"--config FILE": "experiment=", "--config": "experiment", "--set": "overrides"}  # in sentences


def train(experiment: Config, workdir: str | os.PathLike, overrides: Mapping[str, Any] | None = None) -> "TrainedRun":
    """Begin the run in `workdir`, or go on with it, and return it as `load` does.

    `overrides` changes fields by their dotted names, as --set does: {"steps": 100, "task.network.width": 64}. Ctrl-C
    saves the run and returns it as far as it has come; the same call goes on from there. In a thread other than the
    main one no signal is looked at. Raises UserError.
    """
    with _as_called():
        _set_up()
        chosen = chosen_experiment(_config(experiment), Changes(_settings(overrides)))
        with Stop() as stop:
            step = train_run(chosen, Path(workdir), stop)
        if stop.signal not in (None, signal.SIGINT):  # it is saved now: what the signal is for may happen
            signal.raise_signal(stop.signal)
        if stop.signal is not None and step < chosen.steps:
            say(f"stopped at step {step} of {chosen.steps}, which is saved; the same call goes on from there")
        return load(workdir, experiment=chosen)


def load(
    workdir: str | os.PathLike,
    checkpoint: int | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    experiment: Config | None = None,
) -> "TrainedRun":
    """A trained run, to sample from; nothing in its folder is changed, which may be read-only.

    `checkpoint` is a step or "best" (the newest). `overrides` changes how samples are drawn and how much is evaluated:
    {"task.sampler.temperature": 0.8, "evaluate.examples": 100}. `experiment` is needed only for a run that holds
    classes of your own. Raises UserError.
    """
    with _as_called():
        _set_up()
        return TrainedRun(
            workdir, checkpoint, _settings(overrides), None if experiment is None else _config(experiment)
        )


class TrainedRun:
    """A run at one of its checkpoints. `folder`, `step`, and the `experiment` that it was trained by."""

    def __init__(
        self,
        workdir: str | os.PathLike,
        checkpoint: int | str | None,
        settings: list[str],
        config: Experiment | str | None,
    ):
        which = None if checkpoint is None else str(checkpoint)
        self._trained, self._own = (
            load_trained(Path(workdir), config, say, settings, which),
            not settings and which is None,
        )
        self._sampling = Sampling(self._trained.assembly)
        self.folder, self.step, self.experiment = (
            self._trained.folder,
            self._trained.step,
            self._trained.assembly.experiment,
        )

    def __repr__(self) -> str:
        return f"<jaxgen run {str(self.folder)!r}, {type(self.experiment.task).__name__} at step {self.step}>"

    def sample(self, given: Given = (), count: int | None = None, seed: int = 0) -> Any:
        """Fresh examples: pictures as uint8 [N, H, W, C], texts as a list of strings, other kinds as arrays.

        `given`: class names or numbers, prompts, sentences or files, one or several; `count` for each of them in turn
        (1), or in all where nothing is given (80; of each class in turn). The same seed draws the same examples.
        Raises UserError.
        """
        with _as_called(), Stop("after these samples") as stop:
            if not (isinstance(seed, int) and isinstance(count, int | None)):
                raise UserError(f"count is {count!r} and seed {seed!r}; give whole numbers")
            samples = samples_of(self._trained, self._sampling, _words(given), count, seed, stop)
            return self._trained.assembly.presentation.results(samples)

    def evaluate(self, split: str = "test") -> dict[str, int | float | str | None]:
        """The step, the split, the seed, the count of examples and the figures, as `jaxgen evaluate` prints them.

        Raises UserError.
        """
        with _as_called(), Stop("after this batch") as stop:
            return evaluate_trained(self._trained, split, stop, self._own)

    def score(self, examples: Given, given: Given = ()) -> list[dict[str, float | str]]:
        """The log-likelihood in nats of each example (a file, or a text), or the probability that it is real.

        `given`: what each is scored under; without it a line for every class. Raises UserError.
        """
        with _as_called():
            return [line for _, line in scores_of(self._trained, _words(examples), _words(given))]


@functools.cache
def _set_up() -> None:
    """Once in a process."""
    for remark in set_up_jax():
        say(remark)


def _config(experiment: Config) -> Experiment | str:
    if not isinstance(experiment, Experiment | str | os.PathLike):
        raise UserError(f"experiment is a {type(experiment).__name__}; give an Experiment, or a file's path or name")
    return experiment if isinstance(experiment, Experiment) else os.fspath(experiment)


def _words(given: Given) -> list[str]:
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for word in several:
        if not isinstance(word, str | os.PathLike | int):
            raise UserError(f"files, texts, names or numbers are given here, and not a {type(word).__name__}")
    return [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in several]


def _settings(overrides: Mapping[str, Any] | None) -> list[str]:
    """As --set has them."""
    if not isinstance(overrides, Mapping | None):
        raise UserError(f"overrides is a {type(overrides).__name__}; give a dict such as {{'steps': 100}}")
    return [f"{name}={_word(name, value)}" for name, value in (overrides or {}).items()]


def _word(name: str, value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, tuple | list):
        return ",".join(_word(name, entry) for entry in value)
    if value is None or isinstance(value, str | bool | int | float | os.PathLike):
        return str(value)
    raise UserError(
        f"overrides: {name} is a {type(value).__name__}, and only numbers, words and sequences of them stand there; "
        "change the experiment itself with dataclasses.replace"
    )


@contextlib.contextmanager
def _as_called() -> Iterator[None]:
    """Sentences that name arguments as Python has them; work that was interrupted ends with KeyboardInterrupt."""
    try:
        yield
    except UserError as error:
        names = "|".join(map(re.escape, _OPTIONS))
        sentence = re.sub(rf"{names}|--(?=[a-z])", lambda found: _OPTIONS.get(found[0], ""), str(error))
        raise UserError(sentence) from error.__cause__
    except Stopped:
        raise KeyboardInterrupt from None
