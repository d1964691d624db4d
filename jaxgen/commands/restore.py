"""`jaxgen restore`: a damaged photograph, restored by a run that makes pictures."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.atomic_write import write_whole
from jaxgen.core.degradation import Degradation
from jaxgen.core.restoration import Damaged
from jaxgen.data.photographs import MOST_PIXELS, Photograph, png, read_mask, read_photograph
from jaxgen.errors import UserError
from jaxgen.modalities.inputs import file_of, name_of
from jaxgen.output_files import check_output
from jaxgen.reporting.before_after import is_sheet, sheet
from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Stopped
from jaxgen.running.restore_run import Restored, restoration_by, restored
from jaxgen.running.stopping import Stop
from jaxgen.running.trained import load_trained
from jaxgen.standard_streams import put_out


class Told(NamedTuple):
    """What the user says of the damage; None: it is estimated."""

    degradation: str
    mask: str | None = None
    noise: float | None = None
    blur: float | None = None
    factor: int | None = None
    quality: int | None = None
    evaluations: int = 25


def restore(
    workdir: str,
    config: str | None,
    settings: Sequence[str],
    which: str | None,
    photograph: str,
    out: str,
    told: Told,
    count: int = 4,
    seed: int = 0,
) -> int:
    """The mean of `count` restorations goes to `out`, a sheet beside it; where they are and how sure, to stdout."""
    words = [photograph] if told.mask is None else [photograph, told.mask]
    path, beside = _places(out, [Path(word) for word in words if word != "-"])
    before = read_photograph(file_of(photograph, "a picture"), name_of(photograph))
    damaged = _damaged(before, told)
    trained = load_trained(Path(workdir), config, say, settings, which)
    restoration = restoration_by(trained, damaged)
    say(f"{name_of(photograph)}: {restoration.found}")
    try:
        with Stop("after this call of the network") as stop:
            found = restored(trained, restoration, count, seed, stop)
    except Stopped:
        say("stopped; nothing was written")
        return 128 + stop.signal
    after = _kept(before, before.with_unit(found.mean), damaged)
    _write(path, png(after))
    levels = None if found.spread is None else found.spread.mean(axis=2) * 127.5
    _write(beside, sheet(_eight_bits(before), _eight_bits(after), levels))
    put_out(path)
    put_out(beside)
    put_out(_sureness(found, count))
    return 0


def _places(out: str, read: Sequence[Path]) -> tuple[Path, Path]:
    """Where the restoration and its sheet go. UserError for files that are read, and for a sheet's place that is taken.

    An earlier restoration's sheet is replaced, as a file that the user names by --out is.
    """
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: this is a .png file; end --out in .png")
    beside = path.with_suffix(".sheet.png")
    for place in (path, beside):
        check_output(place, read, "--out")
    if beside.exists() and not is_sheet(beside):
        raise UserError(f"{beside}, where the sheet goes, is another file; give another --out, or move it away")
    return path, beside


def _damaged(before: Photograph, told: Told) -> Damaged:
    degradation, (height, width, _) = Degradation(told.degradation), before.pixels.shape
    factor = told.factor
    if factor is None and degradation is Degradation.SUPER_RESOLUTION:
        factor = 2
    if factor is not None and height * width * factor**2 > MOST_PIXELS:
        raise UserError(
            f"{height} x {width} pixels become more than {MOST_PIXELS:,} at --factor {factor}; cut the picture"
        )
    missing = None
    if told.mask is not None:
        missing = read_mask(file_of(told.mask, "a mask"), (height, width), name_of(told.mask))
    known = told.noise, told.blur, factor, told.quality, before.divisors, before.chroma, before.orientation
    return Damaged(before.unit, degradation, missing, *known, told.evaluations)


def _kept(before: Photograph, after: Photograph, damaged: Damaged) -> Photograph:
    """With the pixels that were not missing as the file had them, where nothing else is to be undone."""
    if damaged.degradation is Degradation.INPAINT and damaged.noise is None:
        after.pixels[~damaged.missing] = before.pixels[~damaged.missing]
    return after


def _eight_bits(photograph: Photograph) -> np.ndarray:
    return np.rint(photograph.pixels * (255 / photograph.largest)).astype(np.uint8)


def _sureness(found: Restored, count: int) -> str:
    """In words: how far the restorations spread, in levels of 255."""
    if found.spread is None:
        return "one restoration; how sure it is, several would tell: --count 4"
    levels = found.spread.mean(axis=2) * 127.5
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    return (
        f"mean of {count} restorations, which spread by {levels.mean():.3g} of 255 levels on average and the most, "
        f"{levels.max():.3g}, at row {row}, column {column}"
    )


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); give another --out") from None
