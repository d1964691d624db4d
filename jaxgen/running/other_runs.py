"""Other runs as parts of this one: found and sized, copied once into RUN/parts, their weights read from there.

A copy is a small run folder of its own: experiment.json, data.json, and one checkpoint of the parameters that the other
run shows and of its shared state. RUN/parts/digests.json, written last, says which copies are whole, and the SHA-256 of
each. Nothing of it is executed: a part's task must be of jaxgen's own classes.
"""
# SPDX-License-Identifier: Apache-2.0

import collections
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.config.document import from_document
from jaxgen.core.data import Data, HasVocabulary
from jaxgen.core.masks import by_path
from jaxgen.core.part import Part, Run, runs_in, with_parts
from jaxgen.core.state import TrainState
from jaxgen.core.task import Task
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.data_info import DATA, DataInfo
from jaxgen.running.shown import experiment_document, filled, misfits, read_shown, types_of, untrained
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.checkpoint_files import reached
from jaxgen.training.digests import digest, leaves_of
from jaxgen.training.folder import EXPERIMENT, FollowedFolder, RunFolder, read_json
from jaxgen.training.processes import leads, several, told, told_tree
from jaxgen.types import Extra, Params, Parts, Spec, Variables

PARTS, DIGESTS = "parts", "parts/digests.json"
_OF_SAMPLER = "task.sampler."


@dataclass(frozen=True)
class Placed:
    """A part, and the folder that its weights are read from."""

    part: Part
    folder: Path  # the other run's, or the copy in RUN/parts
    sha256: str | None  # of the copy; None for the other run itself
    experiment: Mapping[str, Any]  # its experiment.json
    data: Mapping[str, Any]  # its data.json


def resolved(experiment: Experiment, workdir: Path | None) -> tuple[Experiment, tuple[Placed, ...]]:
    """The experiment with a `Part` in the place of each `Run`, and where the parts lie; no weights are read.

    What the run in `workdir` has kept is used; what it has not, as long as it has no checkpoint, is the other run.
    """
    runs = runs_in(experiment)
    if not runs:
        return experiment, ()
    known = json.loads(told(json.dumps(_kept(workdir)).encode()))
    placed = {
        path: _placed(name, path, runs[path], workdir, known.get(name)) for path, name in _names(list(runs)).items()
    }
    return with_parts(experiment, {path: one.part for path, one in placed.items()}), tuple(placed.values())


def _names(paths: Sequence[str]) -> dict[str, str]:
    """A name for each dotted path: its field's; the path itself where that is no name, or another part's too."""
    fields = {path: path.rpartition(".")[2] for path in paths}
    counts = collections.Counter(fields.values())
    return {
        path: name if name.isidentifier() and counts[name] == 1 else re.sub(r"[^\w.-]", "_", path)
        for path, name in fields.items()
    }


def _kept(workdir: Path | None) -> dict[str, str]:
    """The digests of the parts that a run keeps, by name."""
    known = read_json(workdir / DIGESTS) if workdir is not None and leads() else None
    entries = known.items() if isinstance(known, dict) else ()
    return {name: entry["sha256"] for name, entry in entries if isinstance(entry, dict) and "sha256" in entry}


def _refuse_to_take(run: Path, workdir: Path, path: str, field: str) -> None:
    """UserError for a run that is the very one in `workdir`, and where that has begun and so must keep its parts.

    A part of the sampler may come later: it is no part of what was trained.
    """
    if run.resolve() == workdir.resolve():
        raise UserError(f"{field} is the very run that is trained here; name the folder of another, trained one")
    if reached(workdir) is not None and not path.startswith(_OF_SAMPLER):
        raise UserError(f"{workdir / DIGESTS} is missing or damaged; restore {workdir / PARTS} from a copy")


def _placed(name: str, path: str, run: Run, workdir: Path | None, sha256: str | None) -> Placed:
    field = f"{path}.path={run.path}"
    folder = Path(run.path) if sha256 is None else workdir / PARTS / name
    if sha256 is None and workdir is not None and leads():
        _refuse_to_take(folder, workdir, path, field)
    try:
        read = _documents(folder, field) if leads() else None
        experiment, data = json.loads(told(json.dumps(read).encode()))
        part = _part(name, field, experiment, data)
    except UserError:
        if sha256 is not None:
            raise _other_than_begun(folder) from None
        raise
    return Placed(part, folder, sha256, experiment, data)


def _documents(folder: Path, field: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's experiment.json and data.json. UserError when it is no run, or has no checkpoint."""
    experiment, data = experiment_document(folder, field), read_json(folder / DATA)
    if reached(folder) is None:
        raise untrained(field)
    if not isinstance(data, dict):
        raise UserError(f"{field}: its {DATA} is missing or damaged; restore it from a copy")
    return experiment, data


def _part(name: str, field: str, experiment: Mapping[str, Any], data: Mapping[str, Any]) -> Part:
    """The part, its task sized to its own data."""
    try:
        task, spec = from_document(experiment["fields"].get("task")), from_document(data.get("spec"))
    except UserError as error:
        raise UserError(
            f"{field} cannot be a part, for its task or its data cannot be read without executing code ({error}); "
            "name a run whose task and kinds of data are jaxgen's own"
        ) from None
    if not (isinstance(task, Task) and isinstance(spec, Spec)):
        raise UserError(f"{field}: its {EXPERIMENT} or {DATA} describes no run; name the folder of another one")
    if nested := list(runs_in(task)):
        raise UserError(f"{field} cannot be a part, for its task has one itself ({nested[0]}); name another run")
    return Part(name, field, task.sized(spec), spec)


def refuse_other_meanings(placed: Sequence[Placed], data: Data, info: DataInfo) -> None:
    """UserError where a part makes what this run makes, from another vocabulary or for other names of classes."""
    for one in placed:
        if not one.part.spec.made.has_numbers_of(info.spec.made):
            continue
        if isinstance(data, HasVocabulary) and one.data.get("vocabulary") != data.vocabulary_document():
            raise UserError(
                f"{one.part.field} was trained with another vocabulary, so that its tokens mean something else; start "
                "from that run, or give both the same text or vocabulary"
            )
        names = {name: tuple(listed) for name, listed in one.data.get("class_names", {}).items()}
        other = [name for name in names if tuple(info.class_names.get(name, names[name])) != names[name]]
        if other:
            raise UserError(f"{one.part.field} was trained with other classes of {other[0]}; give both the same data")


def keep_parts(
    folder: RunFolder | FollowedFolder, placed: Sequence[Placed], say: Callable[[str], None]
) -> tuple[Placed, ...]:
    """Copy what the run has not kept yet into RUN/parts; the parts as the run reads them from now on."""
    if all(one.sha256 is not None for one in placed):
        return tuple(placed)
    known: dict[str, Any] = {}
    if leads():
        known = {one.part.name: _copied(folder, one, say) for one in placed}
        folder.write(DIGESTS, json.dumps(known, indent=2) + "\n")
    known = json.loads(told(json.dumps(known).encode()))
    return tuple(
        replace(one, folder=folder.path / PARTS / one.part.name, sha256=known[one.part.name]["sha256"])
        for one in placed
    )


def _copied(folder: RunFolder, one: Placed, say: Callable[[str], None]) -> dict[str, Any]:
    """What digests.json says of the copy that this makes. A copy that a killed process left unfinished is replaced."""
    params, shared, step = _read(one, say)
    name = f"{PARTS}/{one.part.name}"
    place = folder.emptied(name)
    folder.write(f"{name}/{EXPERIMENT}", json.dumps(one.experiment, indent=2) + "\n")
    folder.write(f"{name}/{DATA}", json.dumps(one.data, indent=2) + "\n")
    checkpoints = Checkpoints(place, keep=1)
    try:
        state = TrainState(np.int32(step), params, Extra(shared), {}, {}, None, None, {})
        checkpoints.save(step, state, {"regular": True})
    finally:
        checkpoints.close()
    say(f"copied {one.part.field}, as it is at step {step}, to {place}")
    return {"run": one.part.field.partition("=")[2], "step": step, "sha256": _sha256(one, params, shared)}


def load_parts(placed: Sequence[Placed]) -> Parts:
    """The variables of each part, on the host at every process. UserError where a copy is not what it was."""
    found = {one.part.name: _variables(one) for one in placed} if leads() else {}
    return told_tree(found, {one.part.name: one.part.shapes for one in placed}) if several() and placed else found


def _variables(one: Placed) -> Variables:
    params, shared, _ = _read(one, lambda sentence: None)
    if one.sha256 not in (None, _sha256(one, params, shared)):
        raise _other_than_begun(one.folder)
    shapes, leaves, shared = one.part.shapes, by_path(params), by_path(shared)
    if lines := misfits(types_of(by_path(shapes.params), by_path(shapes.extra.shared)), types_of(leaves, shared)):
        raise UserError(f"{one.part.field} was trained by another version of jaxgen: {lines}; train it again")
    return Variables(filled(shapes.params, leaves), Extra(filled(shapes.extra.shared, shared)))


def _read(one: Placed, say: Callable[[str], None]) -> tuple[Params, Any, int]:
    """The parameters, the shared state, as nested dicts of arrays of the host, and their step."""
    try:
        state, params, step = read_shown(one.folder, one.part.field, say)
    except UserError:
        if one.sha256 is not None:
            raise _other_than_begun(one.folder) from None
        raise
    return params, (state.get("extra") or {}).get("shared"), step


def _sha256(one: Placed, params: Params, shared: Any) -> str:
    leaves = leaves_of({"params": params, "shared": shared})
    return digest({"experiment": one.experiment, "data": one.data, "leaves": leaves})


def _other_than_begun(folder: Path) -> UserError:
    return UserError(f"{folder} is not the part that its run was begun with; restore it from a copy of that folder")
