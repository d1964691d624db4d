"""The task of connectionist temporal classification (CTC): tokens told by the places of a recording, in their order.

It belongs to no family: a family brings the network, which gives every place the logits of a token or of none. The
likelihood of a text is the sum over all paths that give it (Graves et al. 2006, eq. 3), blank being the last token.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxgen.core.layout import Rule
from jaxgen.core.mean import Mean
from jaxgen.core.part import Part
from jaxgen.core.task import Aux, Trajectory, Window, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.ctc_sampler import PrefixBeamSearch
from jaxgen.families.one_network import OneNetwork
from jaxgen.families.token_likelihood import at_first, likelihood_figures, likelihood_sums, mean_over_tokens
from jaxgen.families.while_reading import window_of
from jaxgen.nn.conditions import Sequence, empty_sequence, sequence_of, sequence_sizes
from jaxgen.ops import ctc
from jaxgen.ops.rows import row_keys
from jaxgen.types import Batch, Extra, Framing, Key, Spec, Tokens, Unit, Variables

Carry = Any  # what a network keeps of a recording so far; every leaf with the batch leading


class Network(Protocol):
    """A Linen module over a recording, whose last token is CTC's blank."""

    stem: Any
    vocabulary: int  # V
    layout: ClassVar[tuple[Rule, ...]]  # how its parameters lie over a mesh
    streams_places: int | None  # the places that it reads at a time; None where it needs the whole recording

    def __call__(self, given: Sequence, keys: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Logits [B, S, V] and the places [B, S] of a row's own; `keys` [B] draw each row's dropout."""

    def places(self, samples: int) -> int:
        """S of a recording of so many samples."""

    def begin(self, batch_size: int) -> Carry: ...

    def advance(self, wave: jax.Array, frames: jax.Array, carry: Carry) -> tuple[jax.Array, jax.Array, Carry]: ...


@dataclass(frozen=True)
class CTC(OneNetwork):
    """Maximum likelihood of a text under a recording, by CTC; texts are searched for by `sampler`.

    A text that has more tokens than its recording has places, which no path gives, counts for nothing in training and
    in `evaluate`; `texts_too_long` tells the share of them.
    """

    network: Network
    sampler: PrefixBeamSearch = PrefixBeamSearch()
    spec: Spec | None = None  # from the data
    unit: Unit | None = None  # of the tokens made; from the data
    bound = "exact"
    needs_given = True

    def sized(self, spec: Spec) -> "CTC":
        sizes = sequence_sizes(spec, "CTC", self.network.stem)
        match spec.made:
            case Tokens(framing=Framing.TARGET) as tokens:
                if isinstance(part := self.sampler.language_model, Part):
                    documents = Tokens(part.spec.made.length, tokens.vocabulary, tokens.unit, Framing.PACKED)
                    if part.spec != Spec(documents):
                        raise UserError(f"{part.field} is no language model over documents of these tokens; give one")
                network = self.network.clone(vocabulary=tokens.vocabulary, **sizes)
                return replace(self, network=network, spec=spec, unit=tokens.unit)
        raise UserError("a CTC makes a text for a recording that is given; give data=Speech(...)")

    @property
    def length(self) -> int:
        """T: the tokens that a text has at most, its end among them."""
        return self.spec.made.length

    @property
    def blank(self) -> int:
        """Which is the end of texts, too: no place tells it."""
        return self.network.vocabulary - 1

    def init(self, key: Key) -> Variables:
        return Variables(self.network.init(key, empty_sequence(self.spec))["params"], Extra())

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """Nats of the texts over their tokens; `texts_too_long` is the share of those that no path gives."""
        log_prob, fits = self._log_prob(variables, batch, row_keys(key, batch["row"]))
        weight = batch.get("weight", jnp.ones(len(fits), jnp.float32))
        mean = mean_over_tokens(at_first(-log_prob, batch), {**batch, "weight": weight * fits})
        return mean, Aux({"texts_too_long": Mean.of(1.0 - fits, weight)})

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats, exact: of the text under the recording; -inf where no path gives it."""
        log_prob, fits = self._log_prob(variables, batch, None)
        return jnp.where(fits, log_prob, -jnp.inf)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        log_prob, fits = self._log_prob(variables, batch, None)
        weight = batch.get("weight", jnp.ones(len(fits), jnp.float32))
        fitting = {**batch, "weight": weight * fits}
        sums = likelihood_sums(at_first(log_prob, batch), fitting, self.unit)
        return sums | {"texts_too_long": Mean.of(1.0 - fits, weight)}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return likelihood_figures(sums, self.unit) | {"texts_too_long": sums["texts_too_long"].value}

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """The text of each row's recording: tokens [B, T+1] from "start" on, ends after the end, as in a batch."""
        logits, own = self._logits(variables, request, None)
        how = self.blank, self.length, knobs_of(self.sampler, request), variables.parts
        tokens, score = self.sampler.search(jax.nn.log_softmax(logits), own, *how)
        return {"given": dict(request["given"]), "made": {"value": self._framed(tokens), "score": score}}

    def check_policy(self) -> None:
        """Every path has a probability."""

    def rollout(self, variables: Variables, request: Batch, key: Key) -> Trajectory:
        """A path for each row, a token or blank for every place of its own, each drawn by itself."""
        logits, own = self._logits(variables, request, None)
        keys = row_keys(key, request["row"])
        path = jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)
        path = jnp.where(own, path, self.blank)
        made = self._framed(ctc.collapse(path, own, self.blank, self.length, self.blank))
        example = {"given": dict(request["given"]), "made": {"value": made}}
        kept = {"row": request["row"], "given": example["given"]}
        return Trajectory(kept, path, _of_path(logits, own, path), example)

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, S] nats of what each place of the paths tells."""
        logits, own = self._logits(variables, trajectory.request, None)
        return _of_path(logits, own, trajectory.actions)

    def places(self, samples: int) -> int:
        """The places of a recording of so many samples, each of which tells a token or none."""
        return self.network.places(samples)

    @property
    def window(self) -> Window | None:
        """What is read at a time; None where the network needs the whole recording."""
        places = self.network.streams_places
        return None if places is None else window_of(self.network.stem, places)

    def begin(self, batch_size: int) -> Carry:
        """The state of a recording before its first window."""
        return self.network.begin(batch_size)

    def advance(
        self, variables: Variables, wave: jax.Array, frames: jax.Array, carry: Carry
    ) -> tuple[jax.Array, jax.Array, Carry]:
        """Log-probabilities [B, K, V] of the next K places of a recording, which of them are its own, the state."""
        apply, params = self.network.apply, {"params": variables.params}
        logits, own, carry = apply(params, wave, frames, carry, method="advance")
        return jax.nn.log_softmax(logits), own, carry

    def _framed(self, tokens: jax.Array) -> jax.Array:
        """[B, T+1] of [B, T]: from "start" on, ending in an end."""
        ended = tokens.at[:, -1].set(self.blank)
        return jnp.pad(ended, ((0, 0), (1, 0)), constant_values=self.network.vocabulary)

    def _logits(self, variables: Variables, batch: Batch, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        return self.network.apply({"params": variables.params}, sequence_of(self.spec, batch), keys)

    def _log_prob(self, variables: Variables, batch: Batch, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """[B] nats of the texts, finite where none of the paths gives one, and [B] where some do."""
        return text_log_prob(*self._logits(variables, batch, keys), batch, self.blank)


def text_log_prob(logits: jax.Array, own: jax.Array, batch: Batch, blank: int) -> tuple[jax.Array, jax.Array]:
    """[B] nats of a batch's texts by CTC under `logits` [B, S, V] at the places `own` [B, S], and [B] where some fit.

    Where none does the nats are a finite number that says nothing.
    """
    tokens = batch["made"]["value"][:, 1:]
    mask = tokens != blank
    fits = ctc.fits(tokens, mask, own.sum(axis=1))
    mask = mask & fits[:, None]  # optax gives about 1e5 nats, and gradients, for what does not fit
    nats = optax.ctc_loss(logits, 1.0 - own, tokens, 1.0 - mask, blank_id=blank)
    return -nats, fits.astype(jnp.float32)


def _of_path(logits: jax.Array, own: jax.Array, path: jax.Array) -> jax.Array:
    log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), path[..., None], axis=-1)[..., 0]
    return jnp.where(own, log_prob, 0.0)

