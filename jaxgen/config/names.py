"""The allow-list: which classes, functions and dtypes an experiment may name in text, and the way there and back.

Text from a run folder or a command line never reaches an import or a lookup outside the modules listed here, and a
thing is handed out only under the name that it bears itself, so no module's imports (`os`, say) can be borrowed.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import enum
import importlib
import re
import types
from collections.abc import Callable
from typing import Any

from jaxgen.config.introspection import is_linen
from jaxgen.errors import UserError

LIBRARIES = ("jax.nn", "jax.nn.initializers", "flax.linen")
# The rooms whose functions compute. Functions that read or write files (atomic_write.py, config/, training's
# checkpoints) stay out: a document that could put one in an activation's place would decide what it is called with.
FUNCTION_ROOMS = ("ops", "nn", "families", "rewards", "metrics", "data")
PUBLIC_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)+")


def is_ours(owner: str) -> bool:
    """Whether the module `owner` is one of jaxgen's."""
    return owner.startswith("jaxgen.")


def find_type(name: str) -> type:
    """The dataclass, Linen module class or enumeration that bears `name`. Raises UserError for anything else."""
    kind, owner = _public_member(name), name.rpartition(".")[0]
    if isinstance(kind, type):
        described = dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum)
        if is_ours(owner) and described and name == _borne_name(kind):
            return kind
        if owner == "flax.linen" and is_linen(kind) and kind.__module__.startswith("flax.linen."):
            return kind
    raise UserError(f"{name!r} is no dataclass, Linen module or enumeration that jaxgen or flax.linen defines")


def find_function(name: str) -> Callable:
    """The public function `name` of jaxgen, jax.nn or flax.linen. Raises UserError for anything else."""
    function, owner = _public_member(name), name.rpartition(".")[0]
    if is_function(function):
        if is_ours(owner) and owner.split(".")[1] in FUNCTION_ROOMS and name == _borne_name(function):
            return function
        if owner in LIBRARIES and function.__module__.split(".")[0] in ("jax", "flax"):
            return function
    rooms = ", ".join(FUNCTION_ROOMS)
    raise UserError(f"{name!r} is no function of jax.nn, flax.linen or jaxgen's rooms for computing ({rooms})")


def is_function(value: Any) -> bool:
    """Whether `value` is a function, plain or wrapped by jax (jit, custom_jvp): not a class, method or partial."""
    named = all(isinstance(getattr(value, name, None), str) for name in ("__module__", "__qualname__"))
    return callable(value) and named and not isinstance(value, type | types.MethodType)


def name_of(thing: type | Callable) -> str | None:
    """The name under which `find_type` or `find_function` gives this very class or function, or None."""
    find = find_type if isinstance(thing, type) else find_function
    names = [_borne_name(thing), *(f"{owner}.{thing.__name__}" for owner in LIBRARIES)]
    return next((name for name in names if _gives(find, name, thing)), None)


def dtype_name(value: Any) -> str | None:
    """The name of an array element type (jnp.bfloat16, a numpy dtype or scalar class), or None for other values."""
    import jax.numpy as jnp
    import numpy as np

    scalar_class = isinstance(value, type) and issubclass(value, np.generic)
    if not scalar_class and not isinstance(value, np.dtype | type(jnp.float32)):
        return None
    name = np.dtype(value).name
    known = isinstance(vars(jnp).get(name), type(jnp.float32))
    return name if known and find_dtype(name) == value else None


def find_dtype(name: str) -> Any:
    """The jax.numpy scalar type called `name`, such as jnp.bfloat16. Raises UserError for anything else."""
    import jax.numpy as jnp

    found = vars(jnp).get(name)
    if isinstance(found, type(jnp.float32)) and jnp.dtype(found).name == name:
        return found
    raise UserError(f"{name!r} is no dtype of jax.numpy, such as 'float32' or 'bfloat16'")


def _public_member(name: str) -> Any:
    """What the allow-listed module holds under the last word of `name`; nothing else is imported or looked at."""
    owner, _, attribute = name.rpartition(".")
    if not PUBLIC_NAME.fullmatch(name) or not (is_ours(owner) or owner in LIBRARIES):
        raise UserError(f"{name!r} is not a public name of jaxgen, jax.nn or flax.linen, and nothing else is looked up")
    try:
        module = importlib.import_module(owner)
    except ModuleNotFoundError as error:
        if f"{owner}.".startswith(f"{error.name}."):
            raise UserError(f"this version of jaxgen has no {name!r}") from error
        raise
    return vars(module).get(attribute)  # not getattr: a module's __getattr__ would be code of the name's choosing


def _borne_name(thing: type | Callable) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _gives(find: Callable[[str], Any], name: str, thing: Any) -> bool:
    try:
        return find(name) is thing
    except UserError:
        return False
