"""How the text of a recording is searched for by CTC, with a language model where one is given."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxgen.core.part import Part, Run
from jaxgen.errors import UserError
from jaxgen.ops import ctc
from jaxgen.types import Parts


@dataclass(frozen=True)
class PrefixBeamSearch:
    """The best text that a beam of `width` finds, each with all of its paths (algorithm 1 of arXiv 1408.2873).

    Texts are compared by log p + `language_weight` log p of the language model + `token_bonus` for every token. Width 1
    tells the text of the likeliest path (greedy decoding). A `language_model` is a run of the same tokens over
    documents: data=Text(..., documents=...) of texts like those that are told.
    """

    width: int = 1
    token_bonus: float = 0.0
    language_model: Run | Part | None = None
    language_weight: float = 0.3

    def __post_init__(self):
        if self.width < 1:
            raise UserError(f"sampler.width is {self.width}; give at least 1")
        if self.width == 1 and (self.language_model is not None or self.token_bonus):
            raise UserError("sampler.width is 1, which compares no texts; give 8, say, or no language_model and bonus")

    def knobs(self) -> dict[str, float]:
        return {"token_bonus": self.token_bonus, "language_weight": self.language_weight}

    def search(
        self,
        log_probs: jax.Array,
        own: jax.Array,
        blank: int,
        length: int,
        knobs: Mapping[str, Any],
        parts: Parts,
    ) -> tuple[jax.Array, jax.Array]:
        """(tokens [B, length] filled up with `blank`, score [B]) of `log_probs` [B, S, V] at the places `own` [B, S].
        """
        if self.width == 1:
            return ctc.greedy(log_probs, own, blank, length, blank)
        judge = self._judge(len(own), length, knobs["language_weight"], parts)
        how = self.width, blank, length, blank
        tokens, _, score = ctc.prefix_beam_search(log_probs, own, *how, lm=judge, token_bonus=knobs["token_bonus"])
        return tokens[:, 0], score[:, 0]

    def _judge(self, rows: int, length: int, weight: Any, parts: Parts) -> ctc.LanguageModel | None:
        if self.language_model is None:
            return None
        network, variables = self.language_model.task.network, parts[self.language_model.name]

        def step(token: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
            return network.apply({"params": variables.params}, token, carry, None, method="step")

        carry = network.carry(rows * self.width, length + 1)
        return ctc.LanguageModel(step, carry, network.vocabulary, weight, network.vocabulary - 1)
