"""Speech from espeak-ng (the wheel `espeakng-loader`), in processes of its own: the same samples on every machine."""
# SPDX-License-Identifier: Apache-2.0

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.environment import cores
from jaxgen.errors import UserError

_A_PROCESS = 500  # utterances, which it speaks in their order: what they sound like depends on this number
_SECONDS = 300.0  # in which a process has ended, or is taken to hang
_AHEAD = 2  # processes' results for each core that are held


class Utterance(NamedTuple):
    """What a voice says, and how."""

    text: str
    voice: str  # "en-us+f3": a language and a variant of the speaker
    speed: int  # words a minute
    pitch: int  # 0 .. 100


def version() -> str:
    """What decides how an utterance sounds, besides what it is. UserError where the library is not installed."""
    try:
        return f"espeakng-loader {importlib.metadata.version('espeakng-loader')}, {_A_PROCESS} a process"
    except importlib.metadata.PackageNotFoundError:
        what = "spoken numbers need the package espeakng-loader"
        raise UserError(f"{what}; run `pip install 'jaxgen[speech]'`") from None


def spoken(utterances: Sequence[Utterance], rate: int, stopped: Callable[[], bool]) -> Iterator[list[np.ndarray]]:
    """[n] int16 samples at `rate` Hz of all in their order, some at a time, spoken on all cores.

    It ends early when `stopped`.
    """
    parts = [utterances[first : first + _A_PROCESS] for first in range(0, len(utterances), _A_PROCESS)]
    with ThreadPoolExecutor(cores()) as pool:
        waiting = [pool.submit(_speak, part, rate, stopped) for part in parts[: _AHEAD * cores()]]
        following = iter(parts[len(waiting) :])
        while waiting:
            found = waiting.pop(0).result()
            if (part := next(following, None)) is not None:
                waiting.append(pool.submit(_speak, part, rate, stopped))
            if stopped():
                return
            yield found


def _speak(utterances: Sequence[Utterance], rate: int, stopped: Callable[[], bool]) -> list[np.ndarray]:
    """The samples of a process's utterances; nothing once `stopped`."""
    if stopped():
        return []
    import espeakng_loader

    library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    asked = {"library": str(library), "data": str(data), "rate": rate, "utterances": utterances}
    program = [sys.executable, "-P", str(Path(__file__).with_name("espeak_process.py"))]
    try:
        done = subprocess.run(program, input=json.dumps(asked).encode(), capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        what = f"espeak-ng had not spoken {len(utterances)} utterances after {_SECONDS:g} s"
        raise UserError(f"{what}; run the same command again when the machine is less busy") from None
    except OSError as error:  # no memory, say: not the cache's fault
        raise UserError(f"espeak-ng cannot be started here ({error.strerror or error})") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit {done.returncode}"]
        raise UserError(f"espeak-ng cannot speak here ({lines[-1]}); install jaxgen[speech] anew")
    return list(_parted(done.stdout))


def _parted(content: bytes) -> Iterator[np.ndarray]:
    place = 0
    while place < len(content):
        size = int(np.frombuffer(content, np.uint32, 1, place)[0])
        yield np.frombuffer(content, np.int16, size, place + 4)
        place += 4 + 2 * size
