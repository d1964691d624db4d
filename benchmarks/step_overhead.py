"""What the host costs a step: the same training in calls of 1, 5, 25 and 100 steps, by the loop of `jaxgen train`.

    python benchmarks/step_overhead.py [--blocks 10]

A call of k steps costs the host h once, so that a step takes t(k) = a + h/k. Every round of blocks gives its own a and
h by least squares, and with them the host's share (h/k) / t(k); medians over the rounds are told with their quartiles,
for the noise of a busy machine can be larger than h. Beside it stand two figures without a fit: how much longer a step
takes at 25 a call than at 100, and the time of a call of a program with the same arguments that computes nothing. One
compiled program serves every k.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass, replace

import jax
import numpy as np
from chosen import experiment_of
from results import ended, parser, race, report, set_up
from training import begun

from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.starting import Started
from jaxgen.timing.contest import Contestant, Row, Work
from jaxgen.timing.timed_run import Training, compile_program
from jaxgen.training.parallel import Parallel

PER_CALL = (1, 5, 25, 100)
STEPS = 100  # a block
SMALL = ("task.network.width=16", "task.network.blocks=1", "task.network.hidden=32", "data.batch_size=8")


@dataclass(frozen=True)
class Overhead:
    """One round's t(k) = a + h/k, seconds."""

    asymptote: float
    host: float

    @classmethod
    def of(cls, per_call: tuple[int, ...], seconds: tuple[float, ...]) -> "Overhead":
        """The least squares fit to the seconds a step at each number of steps a call."""
        design = np.stack([np.ones(len(per_call)), 1 / np.asarray(per_call)], axis=1)
        (asymptote, host), *_ = np.linalg.lstsq(design, np.asarray(seconds), rcond=None)
        return cls(float(asymptote), float(host))

    def share(self, per_call: int) -> float:
        """The host's part of a step's time."""
        return self.host / per_call / (self.asymptote + self.host / per_call)


def overhead_row(name: str, experiment: Experiment, blocks: int) -> Row:
    """The contest over k, and what follows from it as notes."""
    assembly = assemble(replace(experiment, parallel=Parallel(data=1)))
    programs = []  # the one program, once the first contestant has compiled it

    def contestant(per_call: int) -> Contestant:
        def prepare(compiling) -> Work:
            def compiled(*what):
                if not programs:
                    with compiling():
                        programs.append(compile_program(assembly, *what))
                return programs[0]

            training = Training(assembly, compiled, per_call, Started(begun(assembly)))
            return Work(lambda: training.steps(STEPS), STEPS, training.results())

        return Contestant(f"{per_call} a call", prepare)

    row = race(f"{name}, host overhead", map(contestant, PER_CALL), blocks)
    empty = race(name, [Contestant("nothing", lambda compiling: _nothing(assembly))], blocks).lines[0].median
    rounds = [Overhead.of(PER_CALL, seconds) for seconds in zip(*(line.seconds for line in row.lines), strict=True)]
    most, next_most = (np.array(row.lines[PER_CALL.index(k)].seconds) for k in (100, 25))
    seen = f"a step takes {_spread(100 * (next_most / most - 1), '%')} longer at 25 a call than at 100"
    return replace(row, notes=(*_told(rounds, empty, experiment.steps_per_call), seen))


def _nothing(assembly: Assembly) -> Work:
    """Calls of a program that is given and gives what training's is, and computes nothing."""

    def compiled(state, fed, traced):
        lowered = assembly.devices.lower(assembly.game, state, fed, traced, assembly.loops)
        metrics = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), lowered.out_info[1])
        return (
            jax.jit(lambda state, fed, count: (state, metrics), donate_argnums=0)
            .lower(state, fed, np.int32(1))
            .compile()
        )

    training = Training(assembly, compiled, 1, Started(begun(assembly)))
    return Work(lambda: training.steps(STEPS), STEPS, None)


def _told(rounds: list[Overhead], empty: float, scanned: int) -> tuple[str, ...]:
    """What the fits and the empty call say, in sentences; seconds to be told as ms."""
    asymptote = np.array([one.asymptote for one in rounds])
    host = np.array([one.host for one in rounds])
    shares = [f"{_spread(np.array([100 * one.share(k) for one in rounds]), '%')} at {k} a call" for k in (1, scanned)]
    direct = [f"{100 * empty / k / (np.median(asymptote) + empty / k):.2g} % at {k} a call" for k in (1, scanned)]
    return (
        f"by the fit a call costs {_spread(1e3 * host, 'ms')} and a step without it {_spread(1e3 * asymptote, 'ms')}",
        f"by the fit the host's share of a step is {' and '.join(shares)}",
        f"a call that computes nothing takes {1e3 * empty:.2g} ms, which would be {' and '.join(direct)}",
    )


def _spread(values: np.ndarray, unit: str) -> str:
    """The median and the quartiles."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.2g} {unit} ({low:.2g} to {high:.2g})"


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10)
    options = asked.parse_args(arguments)
    set_up()
    games = {
        "a tiny transformer": experiment_of("transformer/digits", SMALL),
        "gan as its config has it": experiment_of("gan/digits"),
    }
    rows = [functools.partial(overhead_row, name, game, options.blocks) for name, game in games.items()]
    return report(rows, options)


if __name__ == "__main__":
    ended(main)
