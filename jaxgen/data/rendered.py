"""Utterances that were spoken once and are kept in the user's cache: samples in one file, mapped and never copied."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgen.core.data import Working
from jaxgen.data.espeak import Utterance, spoken, version
from jaxgen.errors import UserError

_SAMPLES, _ENDS, _ABOUT = "samples.npy", "ends.npy", "about.json"
_PART = re.compile(r"[0-9a-f]{32}\w{8}\.part")  # a folder's name, and what mkdtemp puts after it
_ABANDONED = 86_400.0  # seconds without a write, after which nobody works in a folder any more


@dataclass(frozen=True)
class Rendered:
    """The samples of all utterances one after another, [N] int16, and where each of them ends, [n] int64."""

    samples: np.ndarray
    ends: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "Rendered | None":
        """What a folder holds, mapped; None where it is not there. UserError where it is there in part."""
        if not folder.exists():
            return None
        try:
            ends = np.load(folder / _ENDS, allow_pickle=False)
            samples = np.load(folder / _SAMPLES, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:  # EOFError: a file without a byte
            raise UserError(f"{folder} cannot be read ({error}); remove it, and it is made anew") from None
        if samples.ndim != 1 or ends.ndim != 1 or (ends[-1] if len(ends) else 0) != len(samples):
            raise UserError(f"{folder} is damaged; remove it, and it is made anew")
        return cls(samples, ends)

    def of(self, place: int) -> np.ndarray:
        """[n] int16 samples of an utterance."""
        return self.samples[(self.ends[place - 1] if place else 0) : self.ends[place]]


def digest(utterances: Sequence[Utterance], rate: int) -> str:
    """SHA-256 of all that decides the samples."""
    return hashlib.sha256(json.dumps([version(), rate, utterances]).encode()).hexdigest()


def rendered(
    cache: Path,
    utterances: Sequence[Utterance],
    rate: int,
    label: str,
    work: Working | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Rendered | None:
    """The utterances' samples, from a folder in `cache` that the digest names, spoken where it is not there yet.

    None where it was stopped on its way. Two processes may do it at once: the folder appears whole, and the later one
    takes the earlier one's.
    """
    folder = cache / digest(utterances, rate)[:32]
    if (found := Rendered.read(folder)) is not None:
        return found
    part = None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(cache)
        part = Path(tempfile.mkdtemp(".part", folder.name, cache))
        ends = _speak_into(part / _SAMPLES, utterances, rate, label, work, stopped)
        if len(ends) < len(utterances):
            return None
        np.save(part / _ENDS, ends)
        about = {"made_by": version(), "rate": rate, "what": label, "utterances": len(utterances)}
        (part / _ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        part.chmod(0o755)
        if not folder.exists():
            _moved(part, folder)
        return Rendered.read(folder)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"data.cache={cache} cannot be written ({why}); name another folder") from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """Removes what processes left that were killed while they spoke; the user may keep other things beside it."""
    for part in cache.iterdir():
        if not _PART.fullmatch(part.name):
            continue
        with contextlib.suppress(OSError):  # another process ends it, or removes it too
            if time.time() - max(file.stat().st_mtime for file in (part, *part.iterdir())) > _ABANDONED:
                shutil.rmtree(part, ignore_errors=True)


def _moved(part: Path, folder: Path) -> None:
    try:
        os.rename(part, folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise


def _speak_into(
    file: Path,
    utterances: Sequence[Utterance],
    rate: int,
    label: str,
    work: Working | None,
    stopped: Callable[[], bool],
) -> np.ndarray:
    """[n] where each utterance ends among the samples that are written; fewer where it was stopped."""
    raw, ends, end = file.with_suffix(".raw"), [], 0
    with open(raw, "wb") as out, contextlib.ExitStack() as shown:
        progress = shown.enter_context(work(len(utterances), label)) if work is not None else None
        for part in spoken(utterances, rate, stopped):
            for samples in part:
                out.write(samples.tobytes())
                end += len(samples)
                ends.append(end)
            if progress is not None:
                progress.done(len(ends))
    if not stopped():
        mapped = np.memmap(raw, np.int16, "r", shape=(end,)) if end else np.zeros(0, np.int16)
        np.save(file, mapped)
    raw.unlink()
    return np.asarray(ends, np.int64)

