"""Data that have changed since their run was begun, and data that are checked before a run reads them."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxgen.core.data import Checked, Data, KeepsSpec
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.reporting.terminal import Work
from jaxgen.running.data_info import DATA, DataInfo, digests_of, info_of
from jaxgen.running.resuming import CHANGES, reached
from jaxgen.training.folder import RunFolder, read_json

CHECKED = "checked.json"  # what a run remembers of the files that it has checked


def as_begun(experiment: Experiment, workdir: Path) -> Experiment:
    """The experiment with its data in the sizes that the run in `workdir` has trained on.

    UserError where what its numbers mean has changed: classes that came, went or changed their order.
    """
    if reached(workdir) is None or not isinstance(experiment.data, KeepsSpec):
        return experiment
    held = info_of(experiment, workdir)
    data = experiment.data.with_spec(held.spec)
    here = DataInfo.of(data)
    names, before = ({name: tuple(listed) for name, listed in info.class_names.items()} for info in (here, held))
    if names != before:
        now, then = (", ".join(sum(known.values(), ())) or "none" for known in (names, before))
        raise UserError(
            f"the classes of {data.name} are {now}, and were {then} when {workdir} was begun; restore the folder, or "
            "give another --workdir"
        )
    if here.spec != held.spec:
        raise UserError(
            f"{data.name} has examples of another kind than when {workdir} was begun ({here.spec}, and before "
            f"{held.spec}); restore it, or give another --workdir"
        )
    return dataclasses.replace(experiment, data=data)


def keep_changes(folder: RunFolder, data: Data, say: Callable[[str], None]) -> None:
    """Tell and note that a run goes on with other examples than before; what is in which split is kept anew."""
    held, step = read_json(folder.path / DATA), reached(folder.path)
    if not isinstance(held, dict):
        return
    now = digests_of(data)
    before = {name: held.get(name) for name in now}
    if now == before or None in before.values():
        return
    if step is not None:
        what = "; ".join(_differences(before, now))
        say(f"{data.name} has changed since the run was last begun: {what}; the run goes on with it as it is now")
        folder.log(CHANGES, {"step": step, "data": what})
    folder.write(DATA, json.dumps(held | now, indent=2) + "\n")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    splits = now.get("splits", {})
    others = [split for split, told in splits.items() if before["splits"].get(split) != told]
    for split in others:
        count, was = splits[split]["examples"], before["splits"].get(split, {"examples": 0})["examples"]
        yield f"{split} has {count:,} examples and had {was:,}" if count != was else f"{split} has {count:,} others"
    if not others:
        yield "what its examples hold"


def check_data(folder: RunFolder, data: Data, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
    """UserError names the bad examples of what the run will read, before it has begun or gone on."""
    if not isinstance(data, Checked):
        return
    known = read_json(folder.path / CHECKED)
    found = data.check(known if isinstance(known, dict) else {}, Work, stopped)
    if remark := found.get("remark"):
        say(f"data: {data.name}: {remark}")
    if found and found != known:
        folder.write(CHECKED, json.dumps(found, indent=2) + "\n")
