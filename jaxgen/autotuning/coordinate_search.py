"""A search along coordinates: one knob after another, each value beside the best settings so far, blocks in turn."""
# SPDX-License-Identifier: Apache-2.0

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from jaxgen.autotuning.choice import ROUNDS, Ratio, fastest
from jaxgen.autotuning.knobs import Candidate, Knob
from jaxgen.autotuning.pool import Failed, Pool, Prepared
from jaxgen.timing.contest import Line, Refused, check_parity, contest

_TOLERANCE = 1e-2  # of the largest element of a loss or gradient norm: other settings may round otherwise
AS_IT_IS, TOGETHER = "as it is", "together"


@dataclass(frozen=True)
class Tried:
    """One candidate: what was seen of it, or why nothing was."""

    knob: str  # or AS_IT_IS, and TOGETHER for what was chosen beside what the experiment itself says
    candidate: Candidate
    prepared: Prepared | None = None
    seconds: tuple[float, ...] = ()  # of a step, in each block
    ratio: Ratio | None = None  # of the time an example over that of the best settings before
    failed: str | None = None
    taken: bool = False

    @property
    def examples_per_second(self) -> float | None:
        """Of the median block."""
        return self.prepared.examples / statistics.median(self.seconds) if self.seconds else None


class Search:
    """Which candidates have been tried; `say` gets a sentence about each as it is done, `done` the number of them."""

    def __init__(self, pool: Pool, until: float, say: Callable[[str], None], done: Callable[[int], None]):
        self._pool, self._until, self._say, self._done = pool, until, say, done
        self.tried: list[Tried] = []

    def run(self, knobs: Iterable[Knob], same: Callable[[Candidate, Candidate], bool]) -> Candidate:
        """The best candidate. `same` tells whether two are the same experiment, or refuses one by a Failed.

        Failed where the experiment as it is cannot be measured.
        """
        first = best = Candidate()
        prepared = self._pool.prepare(first)
        self._note([Tried(AS_IT_IS, first, prepared, self._lines(AS_IT_IS, [first])[0].seconds)])
        for knob in knobs:
            best = self._turn(knob, best, same)
        if best != first:
            (both,) = self._compared(TOGETHER, first, [best], parity=False)
            best = best if both.ratio is not None and both.ratio.faster else first
            self._note([replace(both, taken=best != first)])
        return best

    def _turn(self, knob: Knob, best: Candidate, same: Callable[[Candidate, Candidate], bool]) -> Candidate:
        """The best candidate after a knob's values were tried."""
        tried, others = [], []
        for candidate in knob.candidates(best):
            try:
                if not same(candidate, best):
                    others.append(candidate)
            except Failed as error:
                tried.append(Tried(knob.name, candidate, failed=str(error)))
        tried += self._compared(knob.name, best, others, knob.same_losses)
        chosen = fastest({one.candidate: one.ratio for one in tried if one.ratio is not None})
        self._note([replace(one, taken=one.candidate == chosen) for one in tried])
        kept = Candidate(), best if chosen is None else chosen
        for candidate in (best, *(one.candidate for one in tried)):
            if candidate not in kept:
                self._pool.drop(candidate)
        return kept[1]

    def _compared(self, knob: str, best: Candidate, others: Sequence[Candidate], parity: bool) -> list[Tried]:
        """Each of the others beside the best; one that fails is left out of the rest."""
        failed, left = {}, []
        for candidate in others:
            try:
                self._prepare(candidate, best, parity)
                left.append(candidate)
            except (Failed, Refused) as error:
                failed[candidate] = str(error)
        while left:
            try:
                lines = self._lines(knob, [best, *left])
                break
            except Failed as error:
                if error.candidate not in left:
                    raise
                left.remove(error.candidate)
                failed[error.candidate] = str(error)
        measured = dict(zip(left, self._measured(knob, lines, left), strict=True)) if left else {}
        return [measured.get(one) or Tried(knob, one, failed=failed[one]) for one in others]

    def _prepare(self, candidate: Candidate, best: Candidate, parity: bool) -> None:
        if time.monotonic() > self._until and candidate not in (one.candidate for one in self.tried):
            raise Failed(candidate, "not tried, for the time that --seconds gives was over")
        results = self._pool.prepare(candidate).results
        if parity:
            expected = self._pool.prepare(best).results
            check_parity("it computes something else", "the experiment", expected, "it", results, _TOLERANCE)

    def _lines(self, knob: str, candidates: Sequence[Candidate]) -> tuple[Line, ...]:
        for candidate in candidates:
            self._pool.prepare(candidate)  # once more where another one has crashed their process
        return contest(knob, map(self._pool.contestant, candidates), ROUNDS).lines

    def _measured(self, knob: str, lines: Sequence[Line], others: Sequence[Candidate]) -> Iterator[Tried]:
        first = [seconds / lines[0].does.examples for seconds in lines[0].seconds]
        for candidate, line in zip(others, lines[1:], strict=True):
            ratio = Ratio.of(first, [seconds / line.does.examples for seconds in line.seconds])
            yield Tried(knob, candidate, self._pool.prepare(candidate), line.seconds, ratio)

    def _note(self, tried: Iterable[Tried]) -> None:
        for one in tried:
            self.tried.append(one)
            if one.failed is not None:
                self._say(f"{one.candidate}: {one.failed}")
            elif one.ratio is not None:
                self._say(f"{one.candidate}: {1 / one.ratio.ratio:.2f} times as fast{', taken' * one.taken}")
        self._done(len(self.tried))
