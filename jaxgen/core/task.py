"""The contracts of the five families: a task is a game of turns; what else it can do are protocols of their own.

A protocol that a family cannot hold it simply lacks (a GAN is no Likelihood): whoever needs one asks with `isinstance`.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from flax import struct

from jaxgen.core.masks import Both, Everything, Selection
from jaxgen.core.mean import Mean
from jaxgen.types import Batch, Key, Params, Spec, Variables


@struct.dataclass
class Aux:
    """What a loss returns beside its mean."""

    metrics: dict[str, Mean] = struct.field(default_factory=dict)  # shown, averaged as Mean
    statistics: Any = None  # summed over the devices, then given to the task's `absorb`
    rows: Any = None  # the new extra.rows; None leaves it as it was


Loss = Callable[[Variables, Batch, Key], tuple[Mean, Aux]]


@dataclass(frozen=True)
class Turn:
    """One player's move: the loss it lowers and the leaves it owns, `repeat` times a step, each with its own batch."""

    name: str
    loss: Loss
    trainable: Selection = Everything()
    repeat: int = 1


def restrict(turns: tuple[Turn, ...], trainable: Selection, params: Params) -> tuple[Turn, ...]:
    """The turns restricted to the leaves that `trainable` selects; a turn left without a leaf is dropped."""
    allowed = tuple(replace(turn, trainable=Both(turn.trainable, trainable)) for turn in turns)
    return tuple(turn for turn in allowed if any(jax.tree.leaves(turn.trainable(params))))


@runtime_checkable
class Task(Protocol):
    """A family's game. A task is a frozen dataclass of settings; `sized` gives it its sizes, then all is pure.

    A *request* asks for samples: {"row" [B], "given": {name: arrays}}, of which some given may be missing; "made" holds
    what is known of them already (a prompt), and "knobs" the sampler's numbers where they are not the task's own.
    """

    def sized(self, spec: Spec) -> "Task":
        """This task with every size that the data decide filled in; UserError when the data do not suit it."""

    def init(self, key: Key) -> Variables:
        """Fresh parameters and shared state (no rows: those come with `rows`)."""

    def rows(self, batch_size: int) -> Any:
        """The row state before the first batch, each leaf with the batch leading; None for most tasks."""

    def turns(self) -> tuple[Turn, ...]:
        """The moves of one step, in their order."""

    def absorb(self, shared: Any, statistics: Any) -> Any:
        """The shared state after one turn's statistics, summed over the batch."""

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is made for each row of a request, as {"given", "made"} [B, ...]; each row draws from a key of its own.
        """

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Any]:
        """Sums over one batch, and the row state after it. `batch["weight"]` [B] is 0 on padding.

        A draw depends on the key and the row's number alone, so that any cut into batches gives the same sums.
        """

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """Named figures with their unit from the sums over a whole split."""


@runtime_checkable
class Likelihood(Protocol):
    """A family that gives an example a probability."""

    bound: str  # "exact", or which bound it is

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: the log-probability of each example under what is given, or the bound that `bound` names."""


@runtime_checkable
class Warns(Protocol):
    """A family that sees in its figures when training goes wrong."""

    def warning(self, figures: Mapping[str, Any]) -> str | None:
        """One sentence that says what goes wrong in an evaluation's figures and names the setting to change, or None.
        """


@runtime_checkable
class InWindows(Protocol):
    """A family whose likelihood of a long example is a sum over parts of it, which need no more memory for more."""

    def parts(self, batch: Batch) -> tuple[Sequence[Batch], str] | None:
        """A batch of one example as batches of one shape, which `evaluate` reads in their order, and how exact that is.

        None where the example is read at once by `log_prob`.
        """


@runtime_checkable
class InPlaces(Protocol):
    """A family that tells at most a token for each place of what is given."""

    def places(self, samples: int) -> int:
        """Of a recording of so many samples."""


class Window(NamedTuple):
    """The stretch of a recording that is read at a time: one place, known already, and `places` after it."""

    places: int
    frames: int  # of a place
    hop: int  # samples from one frame to the next
    frame: int  # samples of a frame
    rate: int  # Hz

    @property
    def samples(self) -> int:
        return (self.frames * (self.places + 1) - 1) * self.hop + self.frame

    @property
    def step(self) -> int:
        """Samples from one window to the next."""
        return self.places * self.frames * self.hop

    @property
    def seconds(self) -> float:
        """From one place to the next."""
        return self.frames * self.hop / self.rate


@runtime_checkable
class StreamsRecordings(Protocol):
    """A family whose network can tell tokens of a recording while it is read, window by window."""

    blank: int  # the token that stands for none
    window: Window | None  # None: it needs the whole recording

    def begin(self, batch_size: int) -> Any:
        """The state of a recording before its first window."""

    def advance(
        self, variables: Variables, wave: jax.Array, frames: jax.Array, carry: Any
    ) -> tuple[jax.Array, jax.Array, Any]:
        """Log-probabilities [B, K, V] of the next K places, which of them are the recording's own, the state.

        `wave` [B, window.samples] begins a place before them; `frames` [B, (K + 1) frames a place] are whole and its
        own.
        """


@runtime_checkable
class TranslatesWhileReading(Protocol):
    """A family that can make a sentence while the sentence or recording given is read, window by window."""

    length: int
    start: int
    end: int
    reads: int | None  # places of what is given that are read at a time; None: all of it is needed at once
    room: int  # places that it has at most
    window: Window | None  # of a recording

    def wanted(self, place: int) -> int | None:
        """How many places given the token at `place` waits for; None for all of them."""

    def begin(self, batch_size: int) -> Any:
        """The state before the first window."""

    def read(self, variables: Variables, values: jax.Array, own: jax.Array, reading: Any) -> Any:
        """The state after a window: of tokens [B, reads], or of a recording as StreamsRecordings has it."""

    def whole(self, variables: Variables, request: Batch) -> Any:
        """The state after all that a request gives."""

    def first(self, reading: Any) -> Any:
        """What the decoder begins with, once what its first token sees was read."""

    def following(
        self, variables: Variables, reading: Any, token: jax.Array, place: jax.Array, carry: Any
    ) -> tuple[jax.Array, Any]:
        """The likeliest token [B] at `place` after `token` [B], under what was read; the state after it."""


@runtime_checkable
class Gradual(Protocol):
    """A family whose samples come about step by step, from request["made"] on where that begins them."""

    def states(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """As `sample`, but "made" is every state on the way [B, T, ...], the sample last."""


@runtime_checkable
class Attending(Protocol):
    """A family whose network looks at the places of what is given one by one."""

    def attention(self, variables: Variables, samples: Batch) -> jax.Array:
        """[B, T, S]: how much each place of what was made attends to each place of what was given."""


@runtime_checkable
class Critic(Protocol):
    """A family that tells real from made."""

    def probability(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B] in (0, 1): how likely each example is real."""


@runtime_checkable
class Calibratable(Protocol):
    """A critic whose outputs become probabilities by a calibration on held-out examples."""

    def outputs(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B] numbers, the higher the more real, of examples under one and the same given."""

    def fresh_outputs(self, variables: Variables, request: Batch, key: Key) -> jax.Array:
        """[B] their means over fresh samples for a request's rows: what `outputs` are compared with."""


@struct.dataclass
class Trajectory:
    """An episode for each row: T actions drawn one after another, and the example that they made."""

    request: Batch  # what the episodes were drawn for
    actions: Any  # all that `score` needs to hold them likely or not; every leaf with the batch leading
    log_prob: jax.Array  # [B, T] nats, of each action under the sampler that drew it
    example: Batch  # {"given", "made"}, as `sample` has it


@runtime_checkable
class Policy(Protocol):
    """A family that draws by actions with a density each: what score-function tuning needs."""

    def check_policy(self) -> None:
        """UserError where an action has no density under the sampler, or "of any kind" was never trained."""

    def rollout(self, variables: Variables, request: Batch, key: Key) -> Trajectory:
        """An episode for each of request["row"] [B]; what is not given is of any kind."""

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, T] nats: the actions' log-probabilities under the very sampler that `rollout` draws by."""


@runtime_checkable
class Reconstructs(Protocol):
    """A family that keeps of an example what its latents hold, and makes the example of them again."""

    def reconstruct(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B, ...] float levels of each example made again under what is given."""


@runtime_checkable
class Discrete(Protocol):
    """A family that makes of each example a grid of integers, and the example of those: what a prior is learned of."""

    grid: tuple[int, int]  # h, w
    codes: int  # K

    def encode(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B, h, w] int32 below K."""

    def decode(self, variables: Variables, codes: jax.Array) -> jax.Array:
        """[B, ...] float levels: the mean example of codes [B, h, w]."""

    def code_nats(self, variables: Variables, batch: Batch, codes: jax.Array) -> jax.Array:
        """[B] nats: -log p(example | codes)."""


@runtime_checkable
class Prompted(Protocol):
    """A family that may make nothing unless all that its data give is given."""

    needs_given: bool


@runtime_checkable
class Hiding(Protocol):
    """A family that can be trained to do without what its data give."""

    condition_dropout: float  # the fraction of training rows whose given is hidden; 0: it cannot do without


@runtime_checkable
class Reparameterised(Protocol):
    """A family whose samples are a differentiable function of its parameters and noise: for the reward's gradient."""

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """{"given", "made"} for request["row"] [B]; a class that is not given is drawn evenly.

        "made" holds float levels: the very levels of a sample, with the gradient that they had before rounding.
        """


@runtime_checkable
class LatentSpace(Protocol):
    """A family that makes an example of standard normal numbers: what interpolation, mixing and sliders need."""

    def draw_noise(self, row: jax.Array, key: Key) -> tuple[jax.Array, ...]:
        """Standard normal numbers [B, ...] for the rows [B], an array a level, the coarsest level first.

        Those that `sample` draws for these rows under this key.
        """

    def decode(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> Batch:
        """{"given", "made"}: the one picture (uint8 levels) of this noise, under what is given and the sampler's knobs.

        Of a family that draws pixels as well, the mean. Whatever else `sample` draws, a class that is not given among
        them, is drawn by the row from a constant key.
        """


@runtime_checkable
class Inferring(Protocol):
    """A family that finds the noise from which a given example would be made."""

    def infer(self, variables: Variables, batch: Batch, key: Key) -> tuple[jax.Array, ...]:
        """Noise as `decode` takes it where its sampler's temperature or truncation is 1: `decode` of it is close to
        batch["made"].

        Drawn for each row from the posterior, as far as the family has one.
        """


@runtime_checkable
class Completing(Protocol):
    """A family, no Gradual one, whose samples can keep to pictures that are given."""

    def complete(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """As `sample`: an output for each picture of request["made"], near to all of it, or to what is "known" of it.
        """


@runtime_checkable
class Sampler(Protocol):
    """A task's field `sampler`: how samples are drawn, which is not learned and may be changed after training.

    Its other fields (a solver, a count of steps) are static: another value is another program.
    """

    def knobs(self) -> dict[str, float]:
        """The numbers that are arguments of the program: any values share one compilation."""


@runtime_checkable
class Sampled(Protocol):
    """A task whose samples are drawn by a sampler."""

    sampler: Sampler


def knobs_of(sampler: Sampler, request: Batch) -> dict[str, Any]:
    """The sampler's numbers with those of the request in their place."""
    return {**sampler.knobs(), **request.get("knobs", {})}
