"""Where a command writes what it makes: checked before any work is done, so that nothing of the user's is lost."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable
from pathlib import Path

from jaxgen.errors import UserError


def check_output(place: Path, read: Iterable[Path], option: str) -> None:
    """UserError where `place`, which `option` names, is one of the files that are read, or cannot be a file."""
    for file in read:
        if place.resolve() == file.resolve() or (place.exists() and file.exists() and place.samefile(file)):
            raise UserError(f"{place} is {file} itself, which is never overwritten; give another {option}")
    if place.is_dir():
        raise UserError(f"{place} is a folder; give another {option}")
    if not place.parent.is_dir():
        raise UserError(f"there is no folder {place.parent}; make it, or give another {option}")
