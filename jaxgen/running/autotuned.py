"""The file that `jaxgen autotune` writes, as `jaxgen train` reads it: which settings it holds, and for what they hold.

{"schema": 1, "experiment": {...}, "machine": {...}, "settings": ["parallel.data=1", ...], "xla_flags": "", ...}; what
else stands in it was measured, for people to read.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgen.config.changes import set_fields
from jaxgen.config.comparison import differences
from jaxgen.config.document import to_document
from jaxgen.environment import with_xla_flags
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment

SCHEMA = 1
MACHINE = ("processor", "cores", "backend", "devices")  # of environment.facts: the kind of a machine
_TYPES = {"experiment": dict, "machine": dict, "settings": list, "xla_flags": str}
_UNTIMED = ("seed:", "steps:", "every.", "keep:", "best", "stop", "evaluate")  # a step takes as long without


def read_autotuned(file: Path) -> dict[str, Any]:
    """What the file holds. UserError where `jaxgen autotune` has not written it, or another version's has."""
    mend = "name a file that `jaxgen autotune --out` wrote"
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--autotuned {file}: it cannot be read ({error.strerror}); {mend}") from None
    except ValueError:
        raise UserError(f"--autotuned {file}: it is no JSON; {mend}") from None
    if not isinstance(held, dict) or "schema" not in held or "xla_flags" not in held:
        raise UserError(f"--autotuned {file}: it holds no settings; {mend}")
    if held["schema"] != SCHEMA:
        raise UserError(
            f"--autotuned {file}: it is of schema {held['schema']!r}, and this jaxgen writes {SCHEMA}; run "
            "`jaxgen autotune` again"
        )
    sound = all(isinstance(held.get(name), kind) for name, kind in _TYPES.items())
    if not sound or not all(isinstance(setting, str) for setting in held["settings"]):
        raise UserError(f"--autotuned {file}: it is damaged; {mend}")
    return held


def use_xla_flags(file: Path) -> None:
    """The file's XLA flags after the user's own, of two that set the same the last counts. Before the first JAX call.

    UserError as `read_autotuned`.
    """
    flags = read_autotuned(file)["xla_flags"]
    if flags:
        os.environ["XLA_FLAGS"] = with_xla_flags(flags)


def with_autotuned(experiment: Experiment, file: Path, here: Mapping[str, Any]) -> Experiment:
    """The experiment with the file's settings, as --set makes them; `here` are `environment.facts`.

    UserError where they were measured on another kind of machine, or of another experiment. What no step's time depends
    on, such as the seed, rates and intervals, may be another.
    """
    held = read_autotuned(file)
    for name in MACHINE:
        if held["machine"].get(name) != here[name]:
            raise UserError(
                f"--autotuned {file}: it was measured where {name} is {held['machine'].get(name)!r}, and here it is "
                f"{here[name]!r}; run `jaxgen autotune` on this machine"
            )
    try:
        lines = differences(held["experiment"], to_document(experiment))
    except (UserError, KeyError, TypeError, AttributeError):
        raise UserError(f"--autotuned {file}: its experiment is damaged; run `jaxgen autotune` again") from None
    timed = [line for line in lines if not line.startswith(_UNTIMED) and ".learning_rate" not in line.split(":")[0]]
    if timed:
        raise UserError(
            f"--autotuned {file}: it is of another experiment; run `jaxgen autotune` of this one, or undo: "
            + "; ".join(timed)
        )
    return set_fields(experiment, held["settings"])


def told(file: Path) -> str:
    """The sentence about what is changed."""
    held = read_autotuned(file)
    flags = [f"XLA_FLAGS={held['xla_flags']}"] if held["xla_flags"] else []
    settings = " ".join([*held["settings"], *flags])
    return f"as if by --set, from {file}: {settings}" if settings else f"{file} found nothing faster: nothing is set"
