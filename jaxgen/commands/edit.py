"""`jaxgen edit`: pictures changed in the latent space of a run, as a picture, an animation or a page."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgen.atomic_write import new_file, write_whole
from jaxgen.errors import UserError
from jaxgen.output_files import check_output
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.edit_page import edit_page
from jaxgen.reporting.grids import image_grid
from jaxgen.reporting.kept_edits import EDITS
from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Stopped
from jaxgen.running.edit_examples import attribute_of, pictures_of, samples_or_pictures
from jaxgen.running.editing import LatentEditor
from jaxgen.running.edits import Edit, at_temperatures, interpolated, mixed, outputs_of, with_attribute
from jaxgen.running.stopping import Stop
from jaxgen.running.trained import Trained, load_trained
from jaxgen.standard_streams import put_out

KINDS = {  # and what the rows and columns of its table are
    "outputs": "A row for each picture: it, outputs for it, and where they differ, the brightest where the most.",
    "interpolate": "Each row goes from one picture to the next, at equal angles in the noise of every latent level.",
    "attribute": "Each column adds the attribute to the pictures with the strength above it.",
    "mix": "Each row keeps the coarse latent levels of one picture, each column the fine ones.",
    "temperature": "A row for each sample, its noise scaled by the number above: less is safer and less various.",
}
_SHORT_SIDE = 48  # pixels that a picture's side is at least magnified to
_STRENGTHS, _TEMPERATURES = (-1.0, -0.5, 0.5, 1.0, 1.5), (0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.2)


class Asked(NamedTuple):
    """The edit's own options; None: as the edit chooses."""

    kind: str
    pictures: Sequence[str]
    given: Sequence[str]
    count: int | None = None
    frames: int = 9
    values: Sequence[float] = ()
    having: Sequence[str] = ()
    lacking: Sequence[str] = ()
    coarse: int | None = None
    seed: int = 0


def edit(
    workdir: str, config: str | None, settings: Sequence[str], which: str | None, asked: Asked, out: str | None
) -> int:
    """A table as PNG, in motion as GIF, or both on a page, by the name of `out`.

    Without `out` the table goes to RUN/edits/KIND-N.png, N the first that is free, and the command beside it.
    Its path goes to stdout, and where there are figures, a last line that is a JSON object of them.
    """
    words = (*asked.pictures, *asked.having, *asked.lacking, *asked.given)
    if out is not None:
        check_output(Path(out), [Path(word) for word in words if os.path.isfile(word)], "--out")
        if Path(out).suffix.lower() not in (".png", ".gif", ".html"):
            raise UserError(f"--out {out}: an edit is a .png, a .gif or a page; end it in .png, .gif or .html")
    trained = load_trained(Path(workdir), config, say, settings, which)
    try:
        with Stop("after these pictures") as stop:
            found = edited(LatentEditor(trained, asked.seed, stop), asked)
    except Stopped:
        say("stopped; nothing was written")
        return 128 + stop.signal
    command = _command(workdir, config, settings, which, asked)
    if out is None:
        path = _kept(trained.folder / EDITS, asked.kind, _content(".png", trained, found, asked, command), command)
    else:
        path = _written(Path(out), _content(Path(out).suffix.lower(), trained, found, asked, command))
    put_out(path)
    if found.figures:
        put_out(json.dumps({"step": trained.step, "edit": asked.kind, **found.figures}))
    return 0


def edited(editor: LatentEditor, asked: Asked) -> Edit:
    """The edit that was asked for, by what it needs of pictures, samples and examples."""
    trained, pictures, given = editor.trained, asked.pictures, asked.given
    if asked.kind == "outputs":
        return outputs_of(editor, pictures_of(trained, pictures, given), 16 if asked.count is None else asked.count)
    if asked.kind == "attribute":
        having, lacking = attribute_of(trained, asked.having, asked.lacking, given)
        request = pictures_of(trained, pictures, given)
        return with_attribute(editor, request, having, lacking, asked.values or _STRENGTHS)
    request = samples_or_pictures(trained, pictures, given, asked.count)
    match asked.kind:
        case "interpolate":
            return interpolated(editor, request, asked.frames)
        case "mix":
            return mixed(editor, request, asked.coarse)
        case "temperature":
            return at_temperatures(editor, request, asked.values or _TEMPERATURES)
    raise ValueError(f"{asked.kind} is no edit")


def _content(suffix: str, trained: Trained, found: Edit, asked: Asked, command: str) -> bytes:
    motion = trained.assembly.presentation.animation(found.frames)
    if suffix == ".gif":
        return motion.content
    scale = max(1, -(-_SHORT_SIDE // min(found.pixels.shape[2:4])))
    flat = found.pixels.reshape(-1, *found.pixels.shape[2:])
    table = Artefact("png", image_grid(flat, len(found.heads), scale, found.heads))
    if suffix == ".png":
        return table.content
    return edit_page(
        asked.kind, trained.folder.resolve().name, KINDS[asked.kind], table, motion, found.figures, command
    )


def _command(
    workdir: str, config: str | None, settings: Sequence[str], which: str | None, asked: Asked
) -> str:
    """What makes the same edit again."""
    told = ["jaxgen", "edit", asked.kind, *asked.pictures, "--workdir", workdir]
    lists = (("--given", asked.given), ("--with", asked.having), ("--without", asked.lacking), ("--set", settings))
    told += [word for option, words in lists if words for word in (option, *words)]
    if asked.values:
        told += ["--values", *(f"{value:g}" for value in asked.values)]
    single = (("--count", asked.count), ("--coarse", asked.coarse), ("--config", config), ("--checkpoint", which))
    told += [str(word) for option, value in single if value is not None for word in (option, value)]
    return shlex.join([*told, "--frames", str(asked.frames), "--seed", str(asked.seed)])


def _kept(folder: Path, kind: str, content: bytes, command: str) -> Path:
    """A new file in the run's folder, and beside it the command as a .txt, for the report."""
    try:
        folder.mkdir(exist_ok=True)
        path = new_file(folder, kind, "png")
    except OSError as error:
        raise _unwritable(folder, error) from None
    _written(path.with_suffix(".txt"), f"{command}\n".encode())
    return _written(path, content)


def _written(path: Path, content: bytes) -> Path:
    try:
        write_whole(path, content)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} could not be written ({error.strerror}); give another --out")
