"""Rewards on the host: a Python function of texts or arrays, called between two steps, within a time limit."""
# SPDX-License-Identifier: Apache-2.0

import functools
import queue
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol

import jax
import numpy as np

from jaxgen.core.task import Policy
from jaxgen.errors import UserError
from jaxgen.metrics.translation import sentence_bleu
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.reference import State, at_start, begun
from jaxgen.rewards.tuned import Plain, Tuning, kept_rollout, prompt_of, refuse_part
from jaxgen.types import Batch, Key, Spec, Variables


class HostReward(Protocol):
    """A frozen dataclass, or a function, that rewards samples in plain Python."""

    def __call__(self, given: Sequence[Any], made: Sequence[Any], reference: Sequence[Any]) -> Sequence[float]:
        """A finite number for each sample: `made` for `given`, where the data have `reference`.

        Texts and class names are strings, all else is NumPy arrays; None for each sample where nothing is given, and a
        dict by name for each where several things are. It must depend on its arguments alone.
        """


@dataclass(frozen=True)
class SentenceBleu:
    """The BLEU of each sentence against its reference, from 0 to 1 (see `metrics.translation.sentence_bleu`)."""

    def __call__(self, given: Sequence[str], made: Sequence[str], reference: Sequence[str]) -> list[float]:
        return [score / 100 for score in sentence_bleu(made, reference)]


@dataclass(frozen=True)
class OnHost:
    """A reward that is no part of the compiled program; the run ends where it takes longer than `seconds`."""

    function: SentenceBleu | HostReward
    seconds: float = 60.0  # for the samples of one batch

    def __post_init__(self):
        if not self.seconds > 0:
            raise UserError(f"rewards.reward.seconds is {self.seconds}; give a time limit above 0")

    def rewards(self, given: Sequence[Any], made: Sequence[Any], reference: Sequence[Any], step: int) -> np.ndarray:
        """[B] float32. UserError, one sentence, where the function raises, takes too long or gives anything else."""
        found = self._called(lambda: self.function(given, made, reference), step)
        try:
            rewards = np.asarray(found, np.float32)
        except (TypeError, ValueError):
            rewards = np.zeros(0)
        if rewards.shape != (len(made),):
            raise UserError(f"{self._told} gave {_shown(found)} after step {step}; it must give {len(made)} numbers")
        if not np.isfinite(rewards).all():
            place = int(np.argmin(np.isfinite(rewards)))
            raise UserError(
                f"{self._told} gave {rewards[place]} after step {step}, for {_shown(made[place])}: let it give a "
                "finite number for every sample, and run the same command again"
            )
        return rewards

    def _called(self, call: Callable[[], Any], step: int) -> Any:
        """What `call` gives within the time limit. A thread cannot be ended: one that hangs goes with the process."""
        outcome: queue.SimpleQueue = queue.SimpleQueue()

        def work() -> None:
            try:
                outcome.put((call(), None))
            except BaseException as error:
                outcome.put((None, error))

        threading.Thread(target=work, name="reward", daemon=True).start()
        try:
            found, error = outcome.get(timeout=self.seconds)
        except queue.Empty:
            raise UserError(
                f"{self._told} had not answered after {self.seconds:g} seconds (after step {step}): mend it or raise "
                "rewards.reward.seconds, and run the same command again"
            ) from None
        if error is not None:
            raise UserError(
                f"{self._told} raised {_raised(error)} after step {step}: mend it, and run the same command again"
            ) from error
        return found

    @property
    def _told(self) -> str:
        kind = self.function if isinstance(self.function, FunctionType) else type(self.function)
        return f"the reward {kind.__name__} (rewards.reward.function)"


class Judged(Tuning, Protocol):
    """A tuning whose samples are drawn first, and weighed when their rewards are known."""

    reward: OnHost
    group: int

    def drawn(self, task: Policy, variables: Variables, start: Variables, prompt: Batch, key: Key) -> Batch: ...

    def weighed(self, drawn: Batch, reward: jax.Array) -> Batch: ...


@dataclass(frozen=True)
class HostSamples:
    """A source between two steps: samples drawn in one compiled program, rewarded on the host, weighed in another.

    Several processes each draw and reward the rows that are theirs.
    """

    tuning: Judged
    task: Policy
    batch_size: int
    prompts: Prompts | None
    plain: Plain

    @property
    def spec(self) -> Spec:
        return self.task.spec

    def init(self, key: Key, moving: Any) -> State:
        made = functools.partial(self._unrewarded, self.prompts)
        return begun(key, moving) | kept_rollout(self.tuning, made, self.task, key, moving, self.batch_size)

    def make(self, state: State, variables: Variables, number: int, rows: jax.Array) -> tuple[Batch, State]:
        """As `Samples.next`."""
        passes = self.tuning.passes
        if passes == 1:
            return self._made(state, variables, number, rows), state
        refuse_part(rows, self.batch_size)
        batch = state["rollout"] if number % passes else self._made(state, variables, number // passes, rows)
        return batch, {**state, "rollout": batch}

    def shapes(self, state: State, variables: Variables) -> Batch:
        """Of a batch; nothing is drawn."""
        rows = np.arange(self.batch_size, dtype=np.int32)
        return jax.eval_shape(functools.partial(self._unrewarded, self.prompts), state, variables, 0, rows)

    def _made(self, state: State, variables: Variables, number: int, rows: jax.Array) -> Batch:
        own = {name: state[name] for name in ("key", "start")}
        drawn, reference = self._draw(self.prompts, own, variables, np.int32(number), rows)
        example = jax.device_get(drawn["example"])
        given, made = self.plain(example)
        references = [None] * len(made)
        if reference is not None:
            _, references = self.plain({"given": {}, "made": jax.device_get(reference)})
        reward = self.tuning.reward.rewards(given, made, references, number * self.tuning.passes)
        return {"row": rows, **self._weigh(drawn, reward)}

    @functools.cached_property
    def _draw(self) -> Callable[..., tuple[Batch, Any]]:
        return jax.jit(self._drawn)

    @functools.cached_property
    def _weigh(self) -> Callable[[Batch, np.ndarray], Batch]:
        return jax.jit(self.tuning.weighed)

    def _drawn(
        self, prompts: Prompts | None, state: State, variables: Variables, number: jax.Array, rows: jax.Array
    ) -> tuple[Batch, Any]:
        """A batch before it is rewarded, and the references."""
        key, start = jax.random.fold_in(state["key"], number), at_start(state, variables)
        prompt = prompt_of(prompts, state["key"], number, rows, self.batch_size, self.tuning.group)
        return self.tuning.drawn(self.task, variables, start, prompt, key), prompt.get("reference")

    def _unrewarded(
        self, prompts: Prompts | None, state: State, variables: Variables, number: jax.Array, rows: jax.Array
    ) -> Batch:
        """A batch of rewards that are 0."""
        drawn, _ = self._drawn(prompts, state, variables, jax.numpy.int32(number), rows)
        return {"row": rows, **self.tuning.weighed(drawn, jax.numpy.zeros(len(rows)))}


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _raised(error: BaseException) -> str:
    """An error in one line, with the place that raised it."""
    first = (str(error).strip().splitlines() or [""])[0]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}{': ' if first else ''}{first} ({Path(frame.filename).name}, line {frame.lineno})"
