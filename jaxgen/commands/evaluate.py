"""`jaxgen evaluate`: a run's figures on a split, once or for several values of a field."""
# SPDX-License-Identifier: Apache-2.0

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from jaxgen.errors import UserError
from jaxgen.output_files import check_output
from jaxgen.reporting.sweep_page import write_sweep
from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Stopped
from jaxgen.running.evaluate_run import CONTEXT, evaluate_run
from jaxgen.running.stopping import Stop
from jaxgen.running.trained import CHANGEABLE, read_experiment
from jaxgen.standard_streams import put_out


def evaluate(workdir: str, config: str | None, settings: Sequence[str], which: str | None, split: str) -> int:
    """The last line of stdout is one JSON object; the test split's figures are kept in summary.json as well."""
    try:
        with Stop("after this batch") as stop:
            figures = evaluate_run(Path(workdir), split, config, settings, which, stop)
    except Stopped:
        say("stopped; nothing was written")
        return 128 + stop.signal
    put_out(json.dumps(figures))
    return 0


def sweep(
    workdir: str,
    config: str | None,
    settings: Sequence[str],
    which: str | None,
    split: str,
    values: str,
    out: str | None,
) -> int:
    """`values` is FIELD=A,B,C. A line of JSON each, as soon as it is measured; then the page `out`, if it is named.

    A sweep that is stopped writes the page of what it has.
    """
    field, each = _read(values)
    for value in each:  # all are checked before the first is measured
        read_experiment(Path(workdir), config, [*settings, f"{field}={value}"])
    if out is not None:
        check_output(Path(out), (), "--out")
    rows, code = {}, 0
    try:
        with Stop("after this batch") as stop:
            for number, value in enumerate(each, 1):
                say(f"{field}={value}, {number} of {len(each)}")
                figures = evaluate_run(Path(workdir), split, config, [*settings, f"{field}={value}"], which, stop)
                put_out(json.dumps({field: _number(value), **figures}))
                rows[value] = {name: figure for name, figure in figures.items() if name not in CONTEXT}
    except Stopped:
        say(f"stopped; {len(rows)} of {len(each)} were measured")
        code = 128 + stop.signal
    if out is not None and rows:
        told = ["jaxgen", "evaluate", "--workdir", workdir, "--sweep", values, "--out", out]
        more = (("--config", config), ("--checkpoint", which), ("--split", None if split == "test" else split))
        told += [word for option, given in more if given for word in (option, given)]
        told += ["--set", *settings] if settings else []
        write_sweep(Path(out), Path(workdir).resolve().name, field, rows, shlex.join(told))
        say(f"the page is {out}")
    return code


def _read(values: str) -> tuple[str, list[str]]:
    """A field and its values, each once, from FIELD=A,B,C."""
    field, _, listed = values.partition("=")
    each = list(dict.fromkeys(filter(None, (value.strip() for value in listed.split(",")))))
    if len(each) < 2 or not field.startswith(CHANGEABLE):
        raise UserError(
            f"--sweep {values}: give a field of task.sampler, task.likelihood or evaluate, or task.importance_samples, "
            "and two values or more, as in --sweep task.sampler.guidance=1,1.5,2"
        )
    return field, each


def _number(value: str) -> float | str:
    """A value as JSON has it: a number where it is one."""
    try:
        return float(value)
    except ValueError:
        return value
