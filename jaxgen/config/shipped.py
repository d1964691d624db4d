"""The files that ship with jaxgen, experiments and benchmarks: found in a checkout and in an installed package."""
# SPDX-License-Identifier: Apache-2.0

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxgen.errors import UserError, nearest

FOLDERS = ("configs", "benchmarks")  # jaxgen/_configs and jaxgen/_benchmarks in a wheel, else beside jaxgen/
_READ_BESIDE = re.compile(r"""with_name\(["']([^"']+)["']\)""")  # how one experiment file reads another


def shipped_configs() -> dict[str, Path]:
    """The experiment files by their names, such as `rnn/digits`."""
    return {name.removesuffix(".py"): file for name, file in _files("configs").items() if name.endswith(".py")}


def shipped_config(name: str) -> Path | None:
    """The file that `rnn/digits`, `rnn/digits.py` or `configs/rnn/digits.py` names; None where none ships."""
    return shipped_configs().get(name.replace("\\", "/").removeprefix("configs/").removesuffix(".py"))


def shipped_files(name: str) -> dict[str, Path]:
    """{path below the folder to copy to: file} of an experiment with those that it reads, or of a whole folder.

    `name`: `rnn/digits`, `rnn`, `cluster`, `configs` or `benchmarks`. UserError for another.
    """
    if (config := shipped_config(name)) is not None:
        return {f"{file.parent.name}/{file.name}": file for file in _with_those_read(config)}
    every = _files("configs")
    if name == "configs":
        return every
    every |= {f"benchmarks/{path}": file for path, file in _files("benchmarks").items()}
    found = {path: file for path, file in every.items() if path == name or path.startswith(f"{name.rstrip('/')}/")}
    if not found:
        names = {*shipped_configs(), *(path.partition("/")[0] for path in every)}
        raise UserError(f"nothing that ships with jaxgen is called {name!r}{nearest(name, names)}")
    return found


def shipped_benchmarks() -> dict[str, Path]:
    """The benchmarks that can be run, by their names: the files of benchmarks/ that have a `main`."""
    files = {name.removesuffix(".py"): file for name, file in _files("benchmarks").items() if name.endswith(".py")}
    return {name: file for name, file in files.items() if _has_main(file)}


def _has_main(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def question(file: str, otherwise: str) -> str:
    """The first line of a Python file's docstring, or else this."""
    path = Path(file)
    return (headline(path) if path.is_file() else "") or otherwise


def listed(files: Mapping[str, Path]) -> Iterator[str]:
    """A line for each: its name and the first line of its docstring, in two columns."""
    width = max(map(len, files), default=0)
    for name, file in files.items():
        yield f"{name:<{width}}  {headline(file)}"


def headline(file: Path) -> str:
    """The first line of a Python file's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def _files(name: str) -> dict[str, Path]:
    """The files of one of FOLDERS by their paths in it; none where a package was built without them."""
    package = Path(__file__).resolve().parents[1]
    places = (package / f"_{name}", package.parent / name)
    home = next((place for place in places if place.is_dir()), None)
    files = [] if home is None else sorted(home.rglob("*"))
    return {
        file.relative_to(home).as_posix(): file
        for file in files
        if file.is_file() and "__pycache__" not in file.parts and file.name != "__init__.py"
    }


def _with_those_read(config: Path) -> list[Path]:
    """An experiment file and those beside it that it reads."""
    found = [config]
    for file in found:  # which grows meanwhile
        beside = map(file.with_name, _READ_BESIDE.findall(file.read_text(encoding="utf-8")))
        found += [other for other in beside if other.is_file() and other not in found]
    return found
