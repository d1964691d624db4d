"""How tokens are chosen from a model: drawn one by one, or the best sequence searched for."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

from jaxgen.errors import UserError


@dataclass(frozen=True)
class TokenSampler:
    """How tokens are drawn: at `temperature`, from the `top_k` likeliest, from the likeliest that make up `top_p`."""

    temperature: float = 1.0  # 0: the likeliest token
    top_k: int | None = None  # none: all
    top_p: float | None = None  # nucleus sampling, arXiv 1904.09751; none: all
    wait_k: int | None = None  # strides given that are read before the first token (arXiv 1810.08398); none: all

    def __post_init__(self):
        check_wait(self.wait_k)
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"sampler.temperature is {self.temperature}; give 0 (the likeliest token) or more")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"sampler.top_k is {self.top_k}; give at least 1, or none for all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"sampler.top_p is {self.top_p}; give a probability above 0, up to 1, or none")

    def knobs(self) -> dict[str, float]:
        nucleus = {} if self.top_p is None else {"top_p": self.top_p}
        return {"temperature": self.temperature} | nucleus | waiting(self.wait_k)

    def check_vocabulary(self, size: int) -> None:
        """UserError where there are fewer tokens than the sampler wants."""
        if self.top_k is not None and self.top_k > size:
            raise UserError(f"sampler.top_k is {self.top_k}, but these data have {size} tokens; give no more")

    def check_density(self) -> None:
        """UserError where some token has no probability, which score-function tuning needs of each."""
        if self.temperature == 0 or self.top_k is not None or self.top_p is not None:
            raise UserError(
                f"under task.sampler (temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}) some "
                "tokens have no probability, and tuning by ScoreFunction needs one for each; set temperature above 0, "
                "and top_k and top_p to none"
            )


@dataclass(frozen=True)
class BeamSearch:
    """The best of the sequences that a beam of `width` finds; width 1 is greedy decoding.

    Sequences are compared by their log-probability over (their tokens) ** `length_penalty`: above 1 favours longer
    ones, 0 compares the probabilities themselves. `best` of them are told, the best first. With `wait_k` token t is
    made from the first (t + k) * task.stride places given (arXiv 1810.08398); none: from all.
    """

    width: int = 5
    length_penalty: float = 1.0
    best: int = 1
    wait_k: int | None = None

    def __post_init__(self):
        check_wait(self.wait_k)
        if self.width < 1 or not 1 <= self.best <= self.width:
            raise UserError(
                f"sampler.width is {self.width} and sampler.best {self.best}; give a width of at least 1, and no more "
                "of the best than that"
            )

    def knobs(self) -> dict[str, float]:
        return {"length_penalty": self.length_penalty} | waiting(self.wait_k)


def check_wait(wait_k: int | None) -> None:
    """UserError for what no sampler can wait for."""
    if wait_k is not None and wait_k < 1:
        raise UserError(f"sampler.wait_k is {wait_k}; give at least 1, or none to read all first")


def waiting(wait_k: int | None) -> dict[str, float]:
    """The knob, where there is one."""
    return {} if wait_k is None else {"wait_k": wait_k}
