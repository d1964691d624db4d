"""Rows that were measured, told: JSON lines in a file, a table, and what became slower than an older file says."""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import comparison
import jax
import peaks

from jaxgen.atomic_write import write_whole
from jaxgen.environment import facts, set_up_jax
from jaxgen.errors import UserError
from jaxgen.output_files import check_output
from jaxgen.timing.contest import Absent, Contestant, Does, Line, Refused, Row, contest

SCHEMA = 1  # of a line of a results file
REFERENCE = Path("reference")  # by this name, what is kept of this kind of machine


def parser(about: str, blocks: int, steps: int | None = None) -> argparse.ArgumentParser:
    """A benchmark's arguments: those that all have; it adds its own. `about` is its docstring.

    Without `steps` the number of steps in a block is not for the user to choose.
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if steps is not None:
        made.add_argument("--steps", type=positive, default=steps, metavar="N", help="steps a block (%(default)s)")
    timed = "timed blocks of each contestant (%(default)s)"
    made.add_argument("--blocks", type=positive, default=blocks, metavar="N", help=timed)
    add_files(made)
    return made


def add_files(made: argparse.ArgumentParser) -> None:
    """Where rows are kept, and which older ones they are compared with."""
    made.add_argument("--out", type=Path, metavar="FILE.jsonl", help="keep the rows there, a JSON object a line")
    older = (
        "end with 1 where a contestant is slower than in these results by more than 5 %% and than the noise; "
        "`reference`: those kept of this kind of machine"
    )
    made.add_argument("--compare", type=Path, metavar="OLD.jsonl", help=older)


def positive(word: str) -> int:
    """An argument that is a number from 1 on."""
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 1 on; give one")
    return int(word)


def set_up() -> None:
    """JAX as jaxgen sets it up, but every program compiled anew."""
    set_up_jax()
    jax.config.update("jax_enable_compilation_cache", False)


def race(
    name: str,
    contestants: Iterable[Contestant | Absent],
    blocks: int,
    tolerance: float = 1e-5,
    does: Does | None = None,
    **how: Any,
) -> Row:
    """`harness.contest` with the yardstick that all files of results share; `does`: what every contestant's step does.

    Its `devices` are each contestant's own.
    """
    row = contest(name, contestants, blocks, tolerance, yardstick=peaks.yardstick(), **how)
    if does is None:
        return row
    return replace(row, lines=tuple(replace(one, does=replace(does, devices=one.does.devices)) for one in row.lines))


def report(rows: Iterable[Callable[[], Row]], options: argparse.Namespace) -> int:
    """Measure the rows, each told as JSON as it is done, then their table; by `parser`'s options also kept, compared.

    Returns the process's exit code: 1 when a row was refused or something became slower. A refused row is told on
    stderr. UserError before anything is measured where older results cannot be compared with, or there is no place for
    these: a file that is there already is never overwritten.
    """
    if options.out is not None:
        check_new(options.out)
    where, done, kept, refused = here(), [], [], 0
    older = None if options.compare is None else older_results(options.compare, where)
    for measure in rows:
        try:
            row = measure()
        except Refused as error:
            refused = 1
            print(error, file=sys.stderr, flush=True)
            continue
        done.append(row)
        kept.append(to_json(row, where))
        print(kept[-1], flush=True)
        if options.out is not None:
            write_whole(options.out, "".join(f"{line}\n" for line in kept).encode())
    if done:
        print("\n" + to_markdown(done, where))
    slower = [] if older is None else list(comparison.slower(older, [json.loads(line) for line in kept]))
    for sentence in slower:
        print(sentence, file=sys.stderr)
    return int(bool(refused or slower))


def older_results(named: Path, where: Mapping[str, Any]) -> comparison.Results:
    """The results to compare with: a file's, or those that are kept of this kind of machine."""
    file = comparison.reference(where) if named == REFERENCE else named
    older = comparison.read(file, SCHEMA)
    comparison.refuse_another_machine(older, where, file)
    return older


def check_new(place: Path) -> None:
    """UserError where --out cannot be a file, or is one already."""
    check_output(place, (), "--out")
    if place.exists():
        raise UserError(f"{place} is there already, and results are never overwritten; give another --out")


def ended(main: Callable[[], int]) -> None:
    """Run a benchmark's main function and leave with its code; a user's mistake is told in its sentence, with 2."""
    try:
        sys.exit(main())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def here() -> dict[str, Any]:
    """The command, the machine, the libraries and the settings that this process runs with."""
    known = facts()
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items() if version)
    devices = f"{len(known['devices'])} of {known['devices'][0]} ({known['backend']})"
    names = ("command", "processor", "cores", "python")
    told = {name: str(known[name]) for name in names} | {"devices": devices, "packages": packages}
    return told | {"commit": known["commit"], "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}


def to_json(row: Row, where: Mapping[str, Any]) -> str:
    """One line: the row, and of the machine and the command what `where` tells."""
    said = {"schema": SCHEMA, "row": row.name, "precision": row.precision, "load": row.load, "notes": row.notes}
    lines = [_told(line, row.precision) | {"relative": line.median / row.lines[0].median} for line in row.lines]
    return json.dumps({**said, **row.facts, "yardstick": row.yardstick, "contestants": lines, **where})


def _told(line: Line, precision: str) -> dict[str, Any]:
    low, high = line.deciles
    return {
        "name": line.name,
        "p10_seconds": low,
        "p50_seconds": line.median,
        "p90_seconds": high,
        "seconds": line.seconds,
        "compile_seconds": line.compile_seconds,
        "peak_bytes": line.peak_bytes,
        "data_wait_share": line.wait_share,
        "intensity": line.intensity,
        **dict(_rates(line)),
        **dict(_shares(line, precision)),
        "step": vars(line.does),
    }


def _rates(line: Line) -> Iterator[tuple[str, float]]:
    for name in ("examples", "tokens", "flops", "bytes"):
        if (count := getattr(line.does, name)) is not None:
            yield f"{name}_per_second", count / line.median


def _shares(line: Line, precision: str) -> Iterator[tuple[str, float]]:
    """Of what the devices that a step runs on reach in a large product and in a copy, measured on the spot."""
    used = peaks.times_one(line.does.devices)
    if line.does.flops is not None:
        yield "flops_peak", used * peaks.product(precision)
        yield "flops_share", line.does.flops / line.median / (used * peaks.product(precision))
    if line.does.bytes is not None or line.intensity is not None:
        yield "bandwidth_peak", used * peaks.bandwidth()
    if line.does.bytes is not None:
        yield "bandwidth_share", line.does.bytes / line.median / (used * peaks.bandwidth())


def _per_second(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda told: f"{told[name]:,.0f}" if name in told else None


def _share(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda told: None if told.get(name) is None else f"{told[name]:.1%}"


# The columns of a table that are there where a contestant has something to say in them.
_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "compiling, s": lambda told: None if told["compile_seconds"] is None else f"{told['compile_seconds']:.2f}",
    "peak of a block, MiB": lambda told: None if told["peak_bytes"] is None else f"{told['peak_bytes'] / 2**20:.0f}",
    "examples/s": _per_second("examples_per_second"),
    "tokens/s": _per_second("tokens_per_second"),
    "GFLOP/s": lambda told: f"{told['flops_per_second'] / 1e9:,.1f}" if "flops_per_second" in told else None,
    "of a product's": _share("flops_share"),
    "of a copy's bandwidth": _share("bandwidth_share"),
    "waiting for data": _share("data_wait_share"),
}


def to_markdown(rows: Iterable[Row], where: Mapping[str, Any]) -> str:
    """A table of all rows, what must be said of each, and the machine and the command they were seen with."""
    rows = tuple(rows)
    told = [(row, _told(line, row.precision), line) for row in rows for line in row.lines]
    shown = {name: cell for name, cell in _COLUMNS.items() if any(cell(one) is not None for _, one, _ in told)}
    table = [["row", "contestant", "ms a step, median", "p10 to p90", "relative", *shown]]
    for row, one, line in told:
        low, high = (f"{1e3 * decile:.3f}" for decile in line.deciles)
        times = [f"{1e3 * line.median:.3f}", f"{low} to {high}", f"{line.median / row.lines[0].median:.2f}"]
        table.append([row.name, line.name, *times, *(cell(one) or "-" for cell in shown.values())])
    table.insert(1, ["---"] * len(table[0]))
    notes = [f"{row.name}: {note}." for row in rows for note in row.notes]
    notes += [peaks.told(row.precision) for row in {row.precision: row for row in rows if _counts(row)}.values()]
    busiest = max((row.load for row in rows), default=0.0)
    seen = "; ".join(f"{name} {value}" for name, value in where.items() if value)
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return "\n\n".join([lines, *notes, f"Seen with {seen}; load before a row at most {busiest:.1f}."])


def _counts(row: Row) -> bool:
    return any(line.does.flops is not None for line in row.lines)
