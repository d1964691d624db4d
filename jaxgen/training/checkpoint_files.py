"""A checkpoint as files: which steps have one, the digests of its files, and its record; Orbax reads the arrays alone.

Only what differs from its digest, or is missing, is damage. A file that the disk does not give is none, nor is one that
this version of Orbax does not understand.
"""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from jaxgen.disk import ABSENT, read_bytes, retried, unreadable
from jaxgen.training.digests import digest

FOLDER, STATE, RECORD, DIGESTS = "checkpoints", "state", "record", "digests.json"
_RECORD_FILE = "metadata"  # Orbax's name of an item's JSON


class Damaged(Exception):
    """A part of a checkpoint is not what was saved, or it is gone."""


def saved_steps(run: Path) -> list[int]:
    """The steps of a run that have a checkpoint, newest first. UserError where the disk does not tell."""
    return sorted((int(name) for name in _names(run / FOLDER) if name.isdecimal() and name.isascii()), reverse=True)


def reached(run: Path) -> int | None:
    """The step of a run's newest checkpoint; None where it has none."""
    return next(iter(saved_steps(run)), None)


def read_content(checkpoint: Path) -> dict[str, Any]:
    """What stands in a checkpoint beside the arrays: `record`, and `leaves` with their types and digests.

    Damaged where it is not what was saved; UserError where the disk does not give it.
    """
    content = _sealed(checkpoint / RECORD / _RECORD_FILE, "record")
    if not {"record", "leaves"} <= content.keys():
        raise Damaged("its record lacks a part")
    return content


def write_digests(folder: Path, writer: str) -> None:
    """Write a list of the SHA-256 of all files in `folder` into it; `writer` names what wrote them, with its version.

    It is written before the checkpoint gets its name: one without the list is from before there was one.
    """
    files = {str(path.relative_to(folder)): _sha256(path.read_bytes()) for path in _files(folder)}
    content = {"writer": writer, "files": files}
    (folder / DIGESTS).write_text(json.dumps({**content, "sha256": digest(content)}), encoding="utf-8")


def written_by(checkpoint: Path, share: int = 0, shares: int = 1) -> str | None:
    """What wrote a checkpoint whose files are all as they were saved; None where it has no list of their digests.

    Of the files only every `shares`-th is looked at, from `share` on. Damaged names the first that is not as it was
    saved; UserError where the disk does not give one.
    """
    folder = checkpoint / STATE
    if DIGESTS not in _names(folder):
        if read_content(checkpoint).get("listed"):
            raise Damaged(f"{STATE}/{DIGESTS} is missing")
        return None
    content = _sealed(folder / DIGESTS, "list of digests")
    for name, sha256 in sorted(content["files"].items())[share::shares]:
        try:
            found = _sha256(read_bytes(folder / name))
        except ABSENT:
            raise Damaged(f"{STATE}/{name} is missing") from None
        if found != sha256:
            raise Damaged(f"the bytes of {STATE}/{name} are not those that were saved")
    return content["writer"]


def _sealed(path: Path, what: str) -> dict[str, Any]:
    """A JSON object that holds its own digest, without it."""
    try:
        content = json.loads(read_bytes(path))
    except ABSENT:
        raise Damaged(f"its {what} is missing") from None
    except ValueError:
        raise Damaged(f"its {what} is no JSON") from None
    if not isinstance(content, dict) or content.pop("sha256", None) != digest(content):
        raise Damaged(f"the bytes of its {what} are not those that were saved")
    return content


def _names(folder: Path) -> list[str]:
    """What lies in a folder; nothing in one that is not there. UserError where the disk does not tell."""
    try:
        return retried(lambda: os.listdir(folder))
    except ABSENT:
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGESTS)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
