"""Peers that are no packages: the user names a checkout of each, as `--peer nanogpt=FOLDER`."""
# SPDX-License-Identifier: Apache-2.0

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgen.errors import UserError, nearest

LM1B, VAE = "examples/lm1b/models.py", "examples/vae/models.py"
NEEDED = {"nanogpt": ("model.py",), "flax": (LM1B, VAE)}  # a peer's name -> the files of its checkout that are used


@dataclass(frozen=True)
class Sizes:
    """What our Transformer and its peers share: the sizes that nanoGPT's README trains on a CPU with."""

    width: int = 128
    blocks: int = 4
    heads: int = 4
    length: int = 64  # T
    batch: int = 12  # B
    rate: float = 1e-3
    b2: float = 0.99
    decay: float = 0.1
    clip: float = 1.0


def folders(words: Iterable[str]) -> dict[str, Path]:
    """Each named peer's folder; UserError when a word is no NAME=FOLDER or the folder lacks what is needed."""
    found = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not folder:
            raise UserError(f"--peer {word}: write NAME=FOLDER, such as --peer nanogpt=checkouts/nanoGPT")
        if name not in NEEDED:
            raise UserError(f"--peer {word}: {name!r} is no peer{nearest(name, NEEDED)}")
        lacking = [file for file in NEEDED[name] if not (Path(folder) / file).is_file()]
        if lacking:
            raise UserError(f"--peer {word}: {folder} has no {lacking[0]}; name the folder of a checkout of {name}")
        found[name] = Path(folder)
    return found


def module_of(file: Path) -> Any:
    """A file of a checkout, imported as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"peer_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
