"""What a search has found: a table for people, and the file that `jaxgen train --autotuned` reads."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxgen.atomic_write import write_whole
from jaxgen.autotuning.coordinate_search import Tried
from jaxgen.autotuning.knobs import Candidate
from jaxgen.config.document import to_document
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.autotuned import MACHINE, SCHEMA
from jaxgen.running.estimate import told

_HEADS = ("what", "settings", "examples/s", "times as fast", "compiling, s", "memory a device", "outcome")


def table(tried: Sequence[Tried]) -> Iterator[str]:
    """Its lines, in Markdown; a candidate is as many times as fast as the best settings before it."""
    rows = [_HEADS, *map(_row, tried)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    for row in rows:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _row(one: Tried) -> tuple[str, ...]:
    if one.failed is not None:
        return one.knob, str(one.candidate), "", "", "", "", one.failed
    seen, rate, ratio = one.prepared, one.examples_per_second, one.ratio
    faster = "" if ratio is None else f"{1 / ratio.ratio:.2f} ({1 / ratio.high:.2f} to {1 / ratio.low:.2f})"
    peak = "" if seen.peak_bytes is None else told(seen.peak_bytes)
    examples = "" if rate is None else f"{rate:,.0f}"
    return one.knob, str(one.candidate), examples, faster, f"{seen.compile_seconds:.1f}", peak, "taken" * one.taken


def write(
    file: Path, experiment: Experiment, best: Candidate, tried: Sequence[Tried], facts: Mapping[str, Any], load: float
) -> None:
    """UserError where it cannot be written. `load`: processes that wanted a core in the minute before."""
    document = to_document(experiment)
    held = {
        "schema": SCHEMA,
        "settings": list(best.settings),
        "xla_flags": best.flags,
        "machine": {name: facts[name] for name in MACHINE},
        "measured": {name: value for name, value in facts.items() if name not in MACHINE}
        | {"XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), "load": load},
        "config_sha256": hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
        "tried": [_told(one) for one in tried],
        "experiment": document,
    }
    try:
        write_whole(file, json.dumps(held, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{file} could not be written ({error.strerror}); give another --out") from None


def _told(one: Tried) -> dict[str, Any]:
    known = asdict(one) | {"examples_per_second": one.examples_per_second}
    if one.prepared is not None:
        del known["prepared"]["results"]  # the losses of a few first steps
    return {name: value for name, value in known.items() if value not in (None, ())}
