"""`jaxgen sample`: fresh examples from a run."""
# SPDX-License-Identifier: Apache-2.0

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.atomic_write import write_whole
from jaxgen.core.task import Attending, Completing, Gradual
from jaxgen.errors import UserError
from jaxgen.modalities.presentation import Presentation
from jaxgen.output_files import check_output
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Sampling, Stopped
from jaxgen.running.sample_run import samples_of
from jaxgen.running.stopping import Stop
from jaxgen.running.streaming import stream
from jaxgen.running.trained import load_trained
from jaxgen.standard_streams import put_out
from jaxgen.types import Batch

_PICTURES_AND_SOUNDS = ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "wav", "mp3", "flac", "mp4")


def sample(
    workdir: str,
    config: str | None,
    settings: Sequence[str],
    which: str | None,
    given: Sequence[str],
    count: int | None,
    out: str | None,
    seed: int,
    attention: str | None = None,
    streamed: bool = False,
    begun: Sequence[str] = (),
) -> int:
    """Texts go to stdout, other kinds to RUN/samples/sample.SUFFIX, unless --out says where.

    Captions go into a .png with their pictures.

    `attention` names a PNG for the attention maps of the samples. `streamed`: what is given is read as it comes, and
    what is made of it told at once. `begun` names pictures that samples begin from; of a model that is given nothing
    `given` does too. Where `out` is a .gif and the samples are pictures that come about step by step, it shows the
    steps.
    """
    if streamed and (not (attention is out is count is None) or begun):
        raise UserError("--stream tells on stdout what it makes; leave --out, --count, --attention and --begin out")
    read = [Path(word) for word in (*given, *begun) if os.path.isfile(word)]
    for option, place in (("--out", out), ("--attention", attention)):
        if place is not None:
            check_output(Path(place), read, option)
    trained = load_trained(Path(workdir), config, say, settings, which)
    if streamed:
        stream(trained, given, functools.partial(put_out, end=""), say)
        return 0
    task, presentation = trained.assembly.task, trained.assembly.presentation
    if given and not begun and presentation.given_begins:
        given, begun = (), given
    if attention is not None and not isinstance(task, Attending):
        raise UserError(f"--attention: a {type(task).__name__} attends to nothing given; leave it out")
    animated = out is not None and Path(out).suffix.lower() == ".gif"
    steps = animated and isinstance(task, Gradual) and presentation.shows_states
    try:
        with Stop("after these samples") as stop:
            how = task.complete if begun and isinstance(task, Completing) else None
            sampling = Sampling(trained.assembly, task.states if steps else how)
            samples = samples_of(trained, sampling, given, count, seed, stop, begun)
    except Stopped:
        say("stopped; nothing was written")
        return 128 + stop.signal
    if attention is not None:
        weights = jax.device_get(jax.jit(task.attention)(trained.variables, samples))
        _write(presentation.attention(samples, weights), Path(attention), "--attention")
    artefact = presentation.show_states(samples) if steps else _artefact(presentation, samples, out)
    if out is None and artefact.is_text:
        put_out(artefact.content.decode())
        return 0
    path = Path(out) if out is not None else trained.folder / "samples" / f"sample.{artefact.suffix}"
    _write(artefact, path, "--out")
    put_out(path)
    return 0


def _artefact(presentation: Presentation, samples: Batch, out: str | None) -> Artefact:
    """Samples that can be written a line each are, unless `out` is a file of the kind that shows what was given too."""
    lines, artefact = presentation.lines(samples), presentation.show(samples)
    shown = not artefact.is_text and out is not None and Path(out).suffix.lower() == f".{artefact.suffix}"
    return artefact if lines is None or shown else Artefact("txt", "\n".join(lines).encode())


def _write(artefact: Artefact, path: Path, option: str) -> None:
    suffix = path.suffix.lower().removeprefix(".")
    if suffix != artefact.suffix and (suffix in _PICTURES_AND_SOUNDS or (suffix and not artefact.is_text)):
        raise UserError(f"{path}: this is a .{artefact.suffix} file; end {option} in .{artefact.suffix}")
    try:
        write_whole(path, artefact.content)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); give another {option}") from None
