"""The pictures that a run will read, all decoded once before it begins: a bad one is told then, and not steps later."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jaxgen.core.data import Working
from jaxgen.data.bad import BadExamples
from jaxgen.data.decoder import check_picture
from jaxgen.data.examples import BadExample
from jaxgen.environment import cores

_THREADS = 16  # at most: each holds a picture
_AT_ONCE = 32  # files a thread, between two looks at whether the run is to stop


def check_pictures(
    files: Sequence[Path],
    digest: str,
    bad: BadExamples,
    known: Mapping[str, Any],
    work: Working,
    stopped: Callable[[], bool],
) -> dict[str, Any]:
    """What a run remembers of its files, whose names, sizes and times are told by `digest`.

    `known` is what it remembered before: where the digest is the same no file is read. UserError names the bad files
    where there are more than are tolerated. Empty when it was stopped on its way.
    """
    if known.get("files_sha256") == digest:
        bad.refuse_all(known.get("bad", {}))
        return dict(known)
    found: dict[str, str] = {}
    animated, each = 0, _AT_ONCE * (threads := min(cores(), _THREADS))
    with ThreadPoolExecutor(threads) as pool, work(len(files), "checking the pictures") as progress:
        for first in range(0, len(files), each):
            if stopped():
                return {}
            for frames, wrong in pool.map(_checked, files[first : first + each]):
                animated += frames > 1
                found |= wrong
            progress.done(min(first + each, len(files)))
    bad.refuse_all(found)
    remark = f"{animated:,} of the files hold several frames, and the first of each is read" if animated else ""
    return {"files_sha256": digest, "pictures": len(files), "bad": found, "remark": remark}


def _checked(file: Path) -> tuple[int, dict[str, str]]:
    """How many frames a file has, and what is wrong with it."""
    try:
        return check_picture(file), {}
    except BadExample as error:
        return 0, {error.place: error.what}
