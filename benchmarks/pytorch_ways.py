"""PyTorch's ways to run a step, each a contestant where PyTorch is installed: its best is the fastest of them."""
# SPDX-License-Identifier: Apache-2.0

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from jaxgen.timing.contest import Contestant


def torch_contestants(make: Callable[[bool], tuple], steps: int, compiles: bool = True) -> Iterator[Contestant]:
    """Eager on one thread, on all, and, where it `compiles`, compiled on all; `make(compiled)` as pytorch.py has it."""
    if importlib.util.find_spec("torch") is None:
        return
    import torch
    from pytorch import contestant

    cores = torch.get_num_threads()
    ways = [(1, False), (cores, False), *([(cores, True)] if compiles else [])]
    for threads, compiled in dict.fromkeys(ways):

        def made(compiled: bool = compiled) -> Any:
            if compiles:
                torch.compiler.reset()
            return make(compiled)

        name = f"PyTorch {torch.__version__}, {threads} threads, {'compiled' if compiled else 'eager'}"
        yield contestant(name, made, steps, threads, compiled)
