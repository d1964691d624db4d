"""Rewards on the host: a Python function of texts or arrays, called between two steps, within a time limit."""
# SPDX-License-Identifier: Apache-2.0

import functools
import io
import queue
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.core.task import Policy
from jaxgen.errors import UserError
from jaxgen.metrics.captioning import Scorer
from jaxgen.metrics.translation import sentence_bleu
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.reference import State, at_start, begun
from jaxgen.rewards.tuned import Plain, Tuning, kept_rollout, prompt_of, refuse_part
from jaxgen.types import Batch, Key, Spec, Variables

_QUALITY = 95  # of JPEG files whose size is a reward


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


@runtime_checkable
class OfReferences(Protocol):
    """A host's reward that looks at all the references of the prompts before it is called."""

    def of_references(self, references: Sequence[Any]) -> HostReward: ...


@dataclass(frozen=True)
class Cider:
    """The CIDEr-D of each caption against its reference, from 0 to 10 (see `metrics.captioning.Scorer`).

    Words are weighed by how many references of the prompts have them: those of training for a batch that is trained on.
    """

    def of_references(self, references: Sequence[str]) -> HostReward:
        scorer = Scorer([[reference] for reference in references])
        return lambda given, made, reference: [
            scorer.score(one, [other]) for one, other in zip(made, reference, strict=True)
        ]


@dataclass(frozen=True)
class JpegSize:
    """Kilobytes of each picture's JPEG file, times `sign`: 1 for pictures that compress badly, -1 for the opposite.

    The compressibility rewards of arXiv 2305.13301, section 4.
    """

    sign: float = -1.0

    def __call__(self, given: Sequence[Any], made: Sequence[np.ndarray], reference: Sequence[Any]) -> list[float]:
        return [self.sign * _jpeg_bytes(picture) / 1000 for picture in made]


def _jpeg_bytes(picture: np.ndarray) -> int:
    from PIL import Image

    if np.ndim(picture) != 3:
        raise UserError("the reward JpegSize weighs pictures, and these data make none; choose another reward")
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.tell()


@dataclass(frozen=True)
class OnHost:
    """A reward that is no part of the compiled program; the run ends where it takes longer than `seconds`."""

    function: SentenceBleu | Cider | JpegSize | HostReward | OfReferences
    seconds: float = 60.0  # for the samples of one batch

    def __post_init__(self):
        if not self.seconds > 0:
            raise UserError(f"rewards.reward.seconds is {self.seconds}; give a time limit above 0")

    def rewards(
        self,
        given: Sequence[Any],
        made: Sequence[Any],
        reference: Sequence[Any],
        step: int,
        function: HostReward | None = None,
    ) -> np.ndarray:
        """[B] float32; `function` is this one's own that has seen the references.

        UserError, one sentence, where it raises, takes too long or gives anything else.
        """
        found = self._called(lambda: (function or self.function)(given, made, reference), step)
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

    def drawn(
        self, task: Policy, variables: Variables, start: Variables, prompt: Batch, key: Key
    ) -> tuple[Batch, Batch | None]: ...

    def firsts(self, batch: Batch) -> Batch: ...

    def weighed(self, drawn: Batch, reward: jax.Array, greedy: jax.Array | None = None) -> Batch: ...


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
        drawn, greedy, reference = self._draw(self.prompts, own, variables, np.int32(number), rows)
        given, made = self.plain(jax.device_get(drawn["example"]))
        references, count = self._texts(reference, len(made)), len(made)
        if greedy is not None:
            expected = self.plain(jax.device_get(greedy))
            others = self._texts(None if reference is None else self.tuning.firsts(reference), len(expected[1]))
            given, made, references = [*given, *expected[0]], [*made, *expected[1]], [*references, *others]
        step = number * self.tuning.passes
        reward = self.tuning.reward.rewards(given, made, references, step, self._function)
        return {"row": rows, **self._weigh(drawn, reward[:count], None if greedy is None else reward[count:])}

    def _texts(self, made: Batch | None, count: int) -> Sequence[Any]:
        """References as plain Python; None for each of `count` samples where there are none."""
        return [None] * count if made is None else self.plain({"given": {}, "made": jax.device_get(made)})[1]

    @functools.cached_property
    def _function(self) -> HostReward:
        function = self.tuning.reward.function
        if not isinstance(function, OfReferences):
            return function
        if self.prompts is None:
            raise UserError(f"{type(function).__name__} compares with references, and these data give no prompts")
        return function.of_references(self._texts(dict(self.prompts.made), 0))

    @functools.cached_property
    def _draw(self) -> Callable[..., tuple[Batch, Batch | None, Any]]:
        return jax.jit(self._drawn)

    @functools.cached_property
    def _weigh(self) -> Callable[..., Batch]:
        return jax.jit(self.tuning.weighed)

    def _drawn(
        self, prompts: Prompts | None, state: State, variables: Variables, number: jax.Array, rows: jax.Array
    ) -> tuple[Batch, Batch | None, Any]:
        """A batch before it is rewarded, what greedy decoding makes if that counts, and the references."""
        key, start = jax.random.fold_in(state["key"], number), at_start(state, variables)
        prompt = prompt_of(prompts, state["key"], number, rows, self.batch_size, self.tuning.group)
        drawn, greedy = self.tuning.drawn(self.task, variables, start, prompt, key)
        return drawn, greedy, prompt.get("reference")

    def _unrewarded(
        self, prompts: Prompts | None, state: State, variables: Variables, number: jax.Array, rows: jax.Array
    ) -> Batch:
        """A batch of rewards that are 0."""
        drawn, *_ = self._drawn(prompts, state, variables, jax.numpy.int32(number), rows)
        return {"row": rows, **self.tuning.weighed(drawn, jax.numpy.zeros(len(rows)))}


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _raised(error: BaseException) -> str:
    """An error in one line, with the place that raised it."""
    first = (str(error).strip().splitlines() or [""])[0]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}{': ' if first else ''}{first} ({Path(frame.filename).name}, line {frame.lineno})"
