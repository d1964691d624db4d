"""A training step written in PyTorch as a contestant: so many threads, eager or compiled."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from jaxgen.timing.contest import Compiling, Contestant, Work

CORES = torch.get_num_threads()  # before a contestant sets another number
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Step = Callable[[], Any]
First = Callable[[], Mapping[str, Any] | None]  # takes the first step, which compiles, and gives what is compared


def contestant(
    name: str,
    make: Callable[[], tuple[Step, First]],
    steps: int,
    threads: int,
    compiled: bool,
    precision: str = "float32",
) -> Contestant:
    """Blocks of `steps` steps on `threads` threads; `make()` gives the step and its beginning."""

    def prepare(compiling: Compiling) -> Work:
        torch.compiler.config.force_disable_caches = True  # compile times are cold, as ours are
        torch.set_num_threads(threads)
        step, first = make()
        with compiling() if compiled else contextlib.nullcontext():
            results = first()

        def block() -> None:
            torch.set_num_threads(threads)
            for _ in range(steps):
                step()
            if DEVICE == "cuda":
                torch.cuda.synchronize()

        return Work(block, steps, results)

    return Contestant(name, prepare, precision)
