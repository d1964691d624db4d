"""Peers of the benchmarks: who is installed, whose checkout is named (`--peer nanogpt=FOLDER`), and who is absent."""
# SPDX-License-Identifier: Apache-2.0

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgen.errors import UserError, nearest
from jaxgen.timing.contest import Absent, Contestant

LM1B, VAE, WMT = (f"examples/{name}/models.py" for name in ("lm1b", "vae", "wmt"))
NANOGPT = "model.py"
TITLES = {"nanogpt": "nanoGPT", "flax": "Flax's example"}
Needed = Mapping[str, tuple[str, ...]]  # a peer's name -> the files of its checkout that are used


@dataclass(frozen=True)
class Sizes:
    """What our Transformer and its peers share: the sizes that nanoGPT's README trains on a CPU with."""

    width: int = 128
    blocks: int = 4
    heads: int = 4
    hidden: int = 512
    length: int = 64  # T
    batch: int = 12  # B
    rate: float = 1e-3
    b2: float = 0.99
    decay: float = 0.1
    clip: float = 1.0


def add_peers(asked: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """The argument that names checkouts of these peers."""
    about = f"a checkout of {' or '.join(names)}, no packages"
    asked.add_argument("--peer", nargs="+", action="extend", default=[], metavar="NAME=FOLDER", help=about)


def folders(words: Iterable[str], needed: Needed) -> dict[str, Path]:
    """Each named peer's folder; UserError when a word is no NAME=FOLDER or the folder lacks what is needed."""
    found = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not folder:
            raise UserError(f"--peer {word}: write NAME=FOLDER, such as --peer {next(iter(needed))}=checkouts/it")
        if name not in needed:
            raise UserError(f"--peer {word}: {name!r} is no peer of this benchmark{nearest(name, needed)}")
        lacking = [file for file in needed[name] if not (Path(folder) / file).is_file()]
        if lacking:
            raise UserError(f"--peer {word}: {folder} has no {lacking[0]}; name the folder of a checkout of {name}")
        found[name] = Path(folder)
    return found


def of_checkout(
    named: Mapping[str, Path], name: str, contestants: Callable[[Path], Iterable[Contestant]]
) -> Iterable[Contestant | Absent]:
    """The contestants from a peer's folder, or why there are none."""
    if name not in named:
        return [Absent(f"{TITLES[name]} is not named (--peer {name}=FOLDER, a checkout of it)")]
    return contestants(named[name])


def of_torch(contestants: Callable[[], Iterable[Contestant]]) -> Iterable[Contestant | Absent]:
    """Contestants that need PyTorch, which is imported by then alone; or that it is not installed."""
    return _of_packages({"torch": "PyTorch"}, contestants)


def of_transformers(contestants: Callable[[], Iterable[Contestant]]) -> Iterable[Contestant | Absent]:
    """Contestants that need Hugging Face's transformers and PyTorch, likewise."""
    return _of_packages({"torch": "PyTorch", "transformers": "transformers"}, contestants)


def _of_packages(
    packages: Mapping[str, str], contestants: Callable[[], Iterable[Contestant]]
) -> Iterable[Contestant | Absent]:
    for package, title in packages.items():
        if importlib.util.find_spec(package) is None:
            return [Absent(f"{title} is not installed here (pip install 'jaxgen[peers]')")]
    return contestants()


def module_of(file: Path) -> Any:
    """A file of a checkout, imported as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"peer_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
