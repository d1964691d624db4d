"""`jaxgen bench`: the benchmarks that ship, listed, or one run with arguments of its own."""
# SPDX-License-Identifier: Apache-2.0

import importlib
import sys
from collections.abc import Sequence

from jaxgen.config.shipped import listed, shipped_benchmarks
from jaxgen.errors import UserError, nearest
from jaxgen.standard_streams import put_out


def bench(name: str | None, arguments: Sequence[str]) -> int:
    """A line for each without a name; with one, its own exit code."""
    found = shipped_benchmarks()
    if name is None:
        for line in listed(found):
            put_out(line)
        return 0
    if name not in found:
        raise UserError(f"no benchmark is called {name!r}{nearest(name, found)}; `jaxgen bench` lists them")
    sys.path.insert(0, str(found[name].parent))  # they import each other by their names
    sys.argv = [f"jaxgen bench {name}", *arguments]  # what its usage message and its rows call it
    try:
        benchmark = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{name} needs {error.name}, which is not installed here; pip install 'jaxgen[peers]' brings it"
        ) from None
    return benchmark.main(list(arguments)) or 0
