"""`jaxgen autotune`: the fastest settings of an experiment on this machine, measured and kept in a file."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.autotuning.coordinate_search import Search
from jaxgen.autotuning.findings import table, write
from jaxgen.autotuning.knobs import Candidate, Seen, chosen_knobs, planned
from jaxgen.autotuning.pool import Failed, Pool
from jaxgen.config.changes import set_fields
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.output_files import check_output
from jaxgen.reporting.terminal import Work, say
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.standard_streams import put_out


def autotune(
    config: str,
    changes: Changes,
    out: str,
    knobs: Sequence[str],
    batches: Sequence[int],
    flags: Sequence[str],
    seconds: float,
) -> int:
    """Print the table of what was tried; what is best goes to `out`. 0, whether or not anything was faster."""
    began, load, names, place = time.monotonic(), os.getloadavg()[0], chosen_knobs(knobs), Path(out)
    if not seconds > 0:
        raise UserError(f"--seconds is {seconds:g}; give a number above 0")
    check_output(place, (), "--out")
    if place.exists():
        raise UserError(f"{place} is there already; give another --out")
    jax.config.update("jax_platforms", "cpu")  # of this process alone: the devices are for those that measure
    experiment = chosen_experiment(config, changes)
    with contextlib.closing(Pool(config, changes)) as pool:
        try:
            seen = pool.prepare(Candidate())
            plan = planned(experiment, Seen(seen.most_devices, seen.loops, seen.step_seconds), names, batches, flags)
            count = 2 + sum(len(knob.candidates(Candidate())) for knob in plan)
            with Work(count, "autotune") as work:
                search = Search(pool, began + seconds, say, work.done)
                best = search.run(plan, lambda one, other: _same(experiment, one, other))
        except Failed as error:
            raise UserError(f"{config} cannot be measured ({error.candidate}): {error}") from None
        facts = pool.facts() | {"command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])}
    for line in table(search.tried):
        put_out(line)
    write(place, experiment, best, search.tried, facts, load)
    put_out(f"{place}: {best}" if best != Candidate() else f"{place}: nothing is faster than the experiment as it is")
    if any(setting.startswith("data.batch_size=") for setting in best.settings):
        say("another batch size trains another model: choose the learning rate and the steps anew")
    return 0


def _same(experiment: Experiment, one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are one. Failed where the first is no experiment."""
    try:
        return one.flags == other.flags and set_fields(experiment, one.settings) == set_fields(
            experiment, other.settings
        )
    except UserError as error:
        raise Failed(one, str(error)) from None
