"""Experiment files: a Python file whose `experiment()` returns the run, said in full."""
# SPDX-License-Identifier: Apache-2.0

import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jaxgen.config.helpers import look_beside
from jaxgen.config.shipped import shipped_config, shipped_configs
from jaxgen.errors import UserError, nearest

E = TypeVar("E")
MODULE_PREFIX = "experiment file "  # with a space: no import statement can meet it, and it never counts as jaxgen's


def load_experiment(path: str | os.PathLike, expected: type[E], function: str = "experiment") -> E:
    """Run the file's `experiment()` and return what it returns, an `expected`. Raises UserError, naming the line.

    `function` is the name of another one, that returns something else.

    Where there is no such file, `rnn/digits` is the one that ships under that name.
    The file's module stays in `sys.modules` (its classes' annotations and sources are looked up there) under a name
    of its own, and only if all went well.
    """
    path = Path(path)
    path = path if path.exists() else shipped_config(str(path)) or path
    code = _compiled(path)
    module = types.ModuleType(f"{MODULE_PREFIX}{path.resolve()}")
    module.__file__ = code.co_filename
    before = sys.modules.pop(module.__name__, None)
    sys.modules[module.__name__] = module
    try:
        with look_beside(path):
            return _returned(path, code, module, expected, function)
    except BaseException:
        sys.modules.pop(module.__name__, None)
        if before is not None:
            sys.modules[module.__name__] = before
        raise


def _compiled(path: Path) -> types.CodeType:
    if path.is_dir():
        files = [str(file) for file in sorted(path.rglob("*.py"))]
        raise UserError(f"{path} is a folder; name an experiment file{nearest(str(path / path.name), files)}")
    try:
        source = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no experiment file {path}{nearest(str(path), _neighbours(path))}") from error
    except OSError as error:
        raise UserError(f"the experiment file {path} cannot be read: {error.strerror}") from error
    try:
        return compile(source, str(path.resolve()), "exec", dont_inherit=True)
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text else ""
        raise UserError(f"{path} line {error.lineno} is not Python ({error.msg}){text}") from error
    except ValueError as error:  # null bytes, in some versions of Python
        raise UserError(f"{path} is not Python ({error})") from error


def _neighbours(path: Path) -> list[str]:
    """The experiment files that could be meant: those of the same name, else those beside it, else all configs."""
    beside, ships = [*path.parent.glob("*.py")], [*Path("configs").glob("**/*.py"), *map(Path, shipped_configs())]
    namesakes = [file for file in {*beside, *path.parent.glob("*/*.py"), *ships} if file.stem == path.stem]
    return [str(file) for file in namesakes or beside or ships]


def _returned(path: Path, code: types.CodeType, module: types.ModuleType, expected: type[E], name: str) -> E:
    _run(path, code, lambda: exec(code, vars(module)))
    function = vars(module).get(name)
    if not callable(function):
        functions = [name for name, value in vars(module).items() if isinstance(value, types.FunctionType)]
        hint = nearest(name, functions)
        raise UserError(f"{path} has no function {name}() that returns an {expected.__name__}{hint}")
    result = _run(path, code, function)
    if not isinstance(result, expected):
        found = "nothing" if result is None else f"a value of type {type(result).__name__}"
        raise UserError(f"{name}() in {path} returns {found}; it must return an {expected.__name__}")
    return result


def _run(path: Path, code: types.CodeType, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        raise UserError(f"{path}{_line(error, code.co_filename)} {_raised(error)}") from error


def _line(error: Exception, filename: str) -> str:
    """' line 7': where the file itself last was before the error (the call that led to it, not jaxgen's inside)."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    return f" line {lines[-1]}" if lines else ""


def _raised(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return f"refuses: {text}"
    return f"raises {type(error).__name__}: {text}" if text else f"raises {type(error).__name__}"
