"""The run that another one starts from: its weights read, changed by surgery, and made to fit the new task.

Nothing but arrays is taken from it: a run of the user's own classes needs no experiment file to be started from.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from jaxgen.core.masks import Mask, by_path, path_of, paths
from jaxgen.core.start import OnlyNew, Start
from jaxgen.core.surgery import Fitted, Suited, arranged, stacked, unstacked
from jaxgen.core.task import Task
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly
from jaxgen.running.moments import carried
from jaxgen.running.shown import experiment_document, filled, misfits, read_shown, types_of, untrained
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.digests import type_of
from jaxgen.training.folder import RunFolder, read_json
from jaxgen.training.processes import leads, told
from jaxgen.types import Extra, Key, Params, Variables

START = "start.json"  # which leaves a run has taken over as they were, where `trainable` asks for it

Types = dict[str, str]  # a leaf's path -> its type


@dataclass(frozen=True)
class Started:
    """What a first state is made of, on the host."""

    variables: Variables | None = None  # None: fresh ones
    moments: Mapping[str, Any] = field(default_factory=dict)  # of the optimisers' state, by their paths in it


@dataclass(frozen=True)
class NewSince:
    """What `OnlyNew` stands for in one run: every leaf but those of these paths and types."""

    unchanged: tuple[tuple[str, str], ...]

    def __call__(self, params: Params) -> Mask:
        known = set(self.unchanged)
        mask = jax.tree_util.tree_map_with_path(lambda keys, leaf: (path_of(keys), type_of(leaf)) not in known, params)
        if not any(jax.tree.leaves(mask)):
            raise UserError(
                "trainable=OnlyNew finds nothing new: all leaves are those of the start; give it a surgery, let "
                "start.fresh match something, or choose another `trainable`"
            )
        return mask


def with_new_leaves(experiment: Experiment, workdir: Path | None) -> Experiment:
    """The experiment with `OnlyNew` in terms of the leaves themselves.

    They are those that the run in `workdir` has kept, else what its start says.
    """
    if not isinstance(experiment.trainable, OnlyNew) or experiment.start is None:
        return experiment
    found = _kept_or_unchanged(experiment.start, workdir) if leads() else None
    unchanged = json.loads(told(json.dumps(found).encode()))
    return dataclasses.replace(experiment, trainable=NewSince(tuple(unchanged.items())))


def _kept_or_unchanged(start: Start, workdir: Path | None) -> Types:
    match read_json(workdir / START) if workdir is not None else None:
        case {"unchanged": dict(unchanged)}:
            return unchanged
        case None:
            return _unchanged(start)
    raise UserError(f"{workdir / START} is damaged; restore it from a copy")


def keep_new_leaves(folder: RunFolder, experiment: Experiment) -> None:
    """Write into the run, once, what its `trainable` was made of: its start may be gone when it is read back."""
    if isinstance(experiment.trainable, NewSince) and not (folder.path / START).exists():
        held = {"run": experiment.start.run, "unchanged": dict(experiment.trainable.unchanged)}
        folder.write(START, json.dumps(held, indent=2) + "\n")


def load_start(assembly: Assembly, say: Callable[[str], None]) -> Started:
    """What the run starts from. UserError when it does not fit the task."""
    start = assembly.experiment.start
    if start is None:
        return Started()
    _check_surgeries(start, assembly.task)
    saved, params, step = read_shown(Path(start.run), _field(start), say)
    shapes = jax.eval_shape(assembly.task.init, assembly.key)
    key = jax.random.fold_in(assembly.key, 7)
    changed = jax.device_get(_operated(start, params, key, assembly) if start.surgery else params)
    dropped = set(paths(unstacked(params))) - set(paths(changed)) if start.surgery else set()
    found = by_path(arranged(changed, shapes.params))
    found = {path: leaf for path, leaf in found.items() if not _is_fresh(start, path, dropped)}
    wanted = by_path(shapes.params)
    if start.fresh is not None:
        start.fresh(shapes.params)  # it must match something
    fresh = {path for path in wanted if _is_fresh(start, path, dropped)}
    shared, wanted_shared = by_path(saved.get("extra", {}).get("shared")), by_path(shapes.extra.shared)
    # such as a warm-up's count: left out where nothing is warmed up, begun where the start has none
    first = {} if wanted_shared.keys() <= shared.keys() else _first_shared(assembly)
    shared = {path: shared.get(path, first.get(path)) for path in wanted_shared}
    here = {path: leaf for path, leaf in wanted.items() if path not in fresh}
    _refuse_misfits(start, types_of(here, wanted_shared), types_of(found, shared))
    if fresh:
        found |= _first(assembly, fresh)
    variables = Variables(filled(shapes.params, found), Extra(filled(shapes.extra.shared, shared)))
    moments = {}
    if start.moments:
        before = {(path, type_of(leaf)) for path, leaf in by_path(params).items()}
        kept = {path for path, leaf in found.items() if path not in fresh and (path, type_of(leaf)) in before}
        state = jax.eval_shape(assembly.init, assembly.key)
        moments = carried(by_path(saved.get("opt_state", {})), state.opt_state, kept, set(wanted), start.run)
    say(f"starting from {start.run} at step {step}")
    return Started(variables, moments)


def _field(start: Start) -> str:
    return f"start.run={start.run}"


def _check_surgeries(start: Start, task: Task) -> None:
    """UserError for a surgery after which this task would not compute what the start's did."""
    before = experiment_document(Path(start.run), _field(start))["fields"].get("task", {})
    for surgery in start.surgery:
        if isinstance(surgery, Suited):
            surgery.check(task, before)


def _operated(start: Start, params: Params, key: Key, assembly: Assembly | None = None) -> Params:
    """The parameters after all surgeries, their blocks one by one; traceable without an `assembly`.

    Without one those that have to see the task are left out: what they change has another path or shape afterwards.
    """
    params = unstacked(params)
    fitted = any(isinstance(surgery, Fitted) for surgery in start.surgery)
    first = _lacking(assembly, params) if fitted and assembly is not None else {}
    for number, surgery in enumerate(start.surgery):
        own = jax.random.fold_in(key, number)
        if not isinstance(surgery, Fitted):
            params = surgery(params, own)
        elif assembly is not None:
            params = surgery.fit(params, assembly.task, first, own)
    return params


def _lacking(assembly: Assembly, params: Params) -> Params:
    """The task's first leaves that are not among these, or of another shape there; blocks one by one."""
    there = types_of(by_path(params), {})

    def lacking(key: Key) -> dict[str, Any]:
        leaves = by_path(unstacked(assembly.task.init(key).params))
        return {path: leaf for path, leaf in leaves.items() if there.get(path) != type_of(leaf)}

    return _nested(jax.device_get(jax.jit(lacking)(jax.random.fold_in(assembly.key, 0))))


def _unchanged(start: Start) -> Types:
    """The leaves that the run's surgeries leave as they are, told without reading any; blocks in both arrangements."""
    experiment_document(Path(start.run), _field(start))  # it is a run
    checkpoints = Checkpoints(Path(start.run), keep=None)
    try:
        types = checkpoints.types()
    finally:
        checkpoints.close()
    if types is None:
        raise untrained(_field(start))
    before = _nested({p.removeprefix("params/"): _shape(t) for p, t in types.items() if p.startswith("params/")})
    after = jax.eval_shape(lambda params: _operated(start, params, jax.random.key(0)), before)
    dropped = set(by_path(jax.eval_shape(unstacked, before))) - set(by_path(after))
    unchanged: Types = {}
    for arrange in (unstacked, stacked):
        old, new = (
            {path: type_of(leaf) for path, leaf in by_path(jax.eval_shape(arrange, tree)).items()}
            for tree in (before, after)
        )
        unchanged |= {p: t for p, t in old.items() if new.get(p) == t and not _is_fresh(start, p, dropped)}
    return unchanged


def _is_fresh(start: Start, path: str, dropped: set[str]) -> bool:
    return path in dropped or (start.fresh is not None and start.fresh.matches(path))


def _first(assembly: Assembly, chosen: set[str]) -> dict[str, Any]:
    """The leaves of these paths as a run without a start would begin with them."""
    first = jax.jit(lambda key: {p: leaf for p, leaf in by_path(assembly.task.init(key).params).items() if p in chosen})
    return jax.device_get(first(jax.random.fold_in(assembly.key, 0)))


def _first_shared(assembly: Assembly) -> dict[str, Any]:
    """The shared state that a run without a start would begin with: for a task that has some, from one with none."""
    return by_path(jax.device_get(jax.jit(lambda key: assembly.task.init(key).extra.shared)(assembly.key)))


def _refuse_misfits(start: Start, here: Types, there: Types) -> None:
    """UserError that names the first leaves which are lacking, superfluous or of another shape, and what to do."""
    if lines := misfits(here, there):
        after = " after its surgery" if start.surgery else ""
        raise UserError(
            f"{_field(start)} does not fit this task{after}: {lines}; start from a run of the same family and sizes, "
            "change them by start.surgery, or let start.fresh match what shall begin anew"
        )


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        place = tree
        *outer, last = path.split("/")
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = leaf
    return tree


def _shape(described: str) -> jax.ShapeDtypeStruct:
    """Of `float32[3,4]`."""
    dtype, _, sizes = described.removesuffix("]").partition("[")
    return jax.ShapeDtypeStruct(tuple(int(size) for size in sizes.split(",") if size), dtype)
