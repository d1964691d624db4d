"""What is seen as a file in the run's folder, and beside it the command that makes it again."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path

from jaxgen.atomic_write import new_file, write_whole
from jaxgen.errors import UserError
from jaxgen.play.explorer import Explorer
from jaxgen.play.view import View


@dataclass(frozen=True)
class Saved:
    """The picture's file, and the command, which lies beside it as a .txt."""

    picture: Path
    command: str


def save(explorer: Explorer, view: View) -> Saved:
    """Write the view to RUN/samples/play-N.png (or .gif), N the first that is free. UserError where it cannot be."""
    artefact = explorer.see(view).artefact
    folder = explorer.trained.folder.resolve() / "samples"
    try:
        folder.mkdir(exist_ok=True)
        picture = new_file(folder, "play", artefact.suffix)
        command = explorer.command(view, picture)
        write_whole(picture, artefact.content)
        write_whole(picture.with_suffix(".txt"), f"{command}\n")
    except OSError as error:
        why = f"nothing could be saved in {folder} ({error.strerror})"
        raise UserError(f"{why}; make room there, or make it writable") from None
    return Saved(picture, command)
