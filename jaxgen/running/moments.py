"""The optimisers' moments that a run goes on with which starts from another."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import Any

from jaxgen.core.masks import by_path, with_leaves
from jaxgen.errors import UserError
from jaxgen.training.digests import type_of


def carried(
    saved: Mapping[str, Any], opt_state: Any, unchanged: set[str], params: set[str], run: str
) -> dict[str, Any]:
    """The leaves of `saved` that the new `opt_state` (its shapes) goes on with, by their paths in it.

    Those are the moments of `unchanged` parameters, and beside moments that are carried what is no parameter's: the
    count by which Adam corrects their bias. A schedule's count stands beside no moments and is not carried. UserError
    where unchanged parameters have moments here and `run` has none of them.
    """
    here = {path: type_of(leaf) for path, leaf in by_path(opt_state).items()}
    owners = {path: owner for path in here if (owner := _owner(path, params)) is not None}
    wanted = {path for path, owner in owners.items() if owner in unchanged}
    both = {path for path in wanted if path in saved and type_of(saved[path]) == here[path]}
    if wanted and not both:
        raise UserError(
            f"start.moments: {run} holds no moments of this experiment's optimisers for the leaves that are unchanged; "
            "give optimisers the kind and clip that they have there, or set start.moments=false"
        )
    groups = {_group(path, owners[path]) for path in both}
    beside = {path for path in here if path not in owners and path.rpartition("/")[0] in groups}
    beside = {path for path in beside if path in saved and type_of(saved[path]) == here[path]}
    return {path: saved[path] for path in sorted(both | beside)}


def with_moments(opt_state: Any, moments: Mapping[str, Any]) -> Any:
    """The optimisers' first state with the moments of these paths in it. Traceable."""
    return with_leaves(opt_state, moments) if moments else opt_state


def _owner(path: str, params: set[str]) -> str | None:
    """The parameter that a leaf of an optimiser's state belongs to: the longest path that it ends with."""
    parts = path.split("/")
    ends = ("/".join(parts[place:]) for place in range(1, len(parts)))
    return next((end for end in ends if end in params), None)


def _group(path: str, owner: str) -> str:
    """Where the optimiser's part lies that holds a moment: `likelihood/0` of `likelihood/0/mu/head/kernel`."""
    return path.removesuffix(f"/{owner}").rpartition("/")[0]
