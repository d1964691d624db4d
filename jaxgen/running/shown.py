"""What a run shows, read from its folder without the classes that it is made of: its parameters, or their average."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxgen.core.masks import by_path, path_of, with_leaves
from jaxgen.errors import UserError
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.digests import type_of
from jaxgen.training.folder import EXPERIMENT, read_json
from jaxgen.types import Params

_NAMED = 4  # leaves that do not fit, told one by one


def experiment_document(run: Path, field: str) -> dict[str, Any]:
    """The experiment.json of a run; `field` is what names it, for sentences. UserError when it is no run."""
    document = read_json(run / EXPERIMENT)
    if document is None:
        raise UserError(f"{field} is no run: it has no {EXPERIMENT}; name the folder of a trained one")
    match document:
        case {"fields": dict()}:
            return document
    raise UserError(f"{field}: its {EXPERIMENT} describes no experiment; name the folder of another run")


def shown_average(document: Mapping[str, Any]) -> str | None:
    """The name of the average that a run of this experiment.json shows; None: the parameters themselves."""
    match document["fields"].get("averages"):
        case {"dict": dict(averages)}:
            return next(iter(averages), None)
    return None


def read_shown(run: Path, field: str, say: Callable[[str], None]) -> tuple[dict[str, Any], Params, int]:
    """The state in the newest whole checkpoint of a run, the parameters in it as the run shows them, and its step.

    All are nested dicts of arrays of the host. UserError when it is no run, or has no whole checkpoint.
    """
    shown = shown_average(experiment_document(run, field))
    checkpoints = Checkpoints(run, keep=None)
    try:
        restored = checkpoints.restore_saved(say)
    finally:
        checkpoints.close()
    if restored is None:
        raise untrained(field)
    state = restored[0]
    averages = by_path((state.get("averages") or {}).get(shown))
    return state, with_leaves(state["params"], averages), int(state["step"])


def untrained(field: str) -> UserError:
    return UserError(f"{field} has no whole checkpoint yet; train it first")


def misfits(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The first leaves, of {path: type}, that are lacking, superfluous or of another type; empty where none are."""
    lines = [
        f"{path} is {there.get(path, 'missing')} there and {here.get(path, 'missing')} here"
        for path in dict.fromkeys([*here, *there])
        if here.get(path) != there.get(path)
    ]
    more = f", and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return "; ".join(lines[:_NAMED]) + more


def types_of(leaves: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, str]:
    """The types of parameters and of shared state, each by their paths, as `misfits` compares them."""
    types = {path: type_of(leaf) for path, leaf in leaves.items()}
    return types | {f"shared/{path}": type_of(leaf) for path, leaf in shared.items()}


def filled(like: Any, leaves: Mapping[str, Any]) -> Any:
    """A tree of the structure of `like` with the leaves of these paths."""
    return jax.tree_util.tree_map_with_path(lambda keys, _: leaves[path_of(keys)], like)
