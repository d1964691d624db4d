"""PyTorch's ways to run a step, each a contestant where PyTorch can take part: its best is the fastest of them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterable, Iterator

import jax
from peers import of_torch

from jaxgen.timing.contest import Absent, Contestant

Make = Callable[[bool], tuple]  # of whether it is compiled: a step and its beginning, as pytorch.py has them


def torch_contestants(
    make: Make,
    steps: int,
    compiles: bool = True,
    threads: int | None = None,
    precision: str = "float32",
    small: bool = True,
) -> Iterable[Contestant | Absent]:
    """Eager on one thread, on all, and, where it `compiles`, compiled on all; with `threads` on so many alone.

    What is not `small` is not run on one thread, which cannot be its best: it only took time.
    """
    if jax.default_backend() != "cpu":
        return [Absent("PyTorch's side of this row is written for CPUs")]
    return of_torch(lambda: _ways(make, steps, compiles, threads, precision, small))


def _ways(
    make: Make, steps: int, compiles: bool, threads: int | None, precision: str, small: bool
) -> Iterator[Contestant]:
    import torch
    from pytorch import CORES, contestant

    most = threads or CORES
    ways = [*([(threads or 1, False)] if small else []), (most, False), *([(most, True)] if compiles else [])]
    for count, compiled in dict.fromkeys(ways):

        def made(compiled: bool = compiled) -> tuple:
            if compiles:
                torch.compiler.reset()
            return make(compiled)

        where = "1 thread" if count == 1 else f"{count} threads"
        name = f"PyTorch {torch.__version__}, {where}, {'compiled' if compiled else 'eager'}"
        yield contestant(name, made, steps, count, compiled, precision)
