"""Samples as figures of the page, their pictures and sounds within it; texts stand beside their recordings."""
# SPDX-License-Identifier: Apache-2.0

import base64

from jaxgen.reporting.artefacts import MEDIA, Artefact
from jaxgen.reporting.markup import escaped

TEXT_SHOWN = 6000  # characters of sample text
PLAYED = 4 << 20  # bytes of recordings for one run; those that would be more are not on the page


def samples_figure(artefact: Artefact | None, caption: str, words: str) -> str:
    """A figure of what a run shows of its samples, `words` saying what it is; nothing where there is none."""
    if artefact is None:
        return ""
    head = f"<figcaption>{escaped(caption)}</figcaption>"
    if artefact.is_text and len(artefact.parts) == len(artefact.recordings):
        return f'<figure class="text">{head}<ol class="played">{_beside_recordings(artefact, words)}</ol></figure>'
    if artefact.is_text:
        return f'<figure class="text">{head}<pre>{_text(artefact.content.decode("utf-8", "replace"))}</pre></figure>'
    if artefact.suffix == "wav":
        return f"<figure>{head}{_player(artefact.content, words)}</figure>"
    width, height = _size(artefact)
    picture = f'<img alt="{escaped(words)}" width="{width}" height="{height}" src="{_source(artefact)}">'
    return f"<figure>{head}{picture}</figure>"


def _beside_recordings(artefact: Artefact, words: str) -> str:
    """An item for each example: its recording to be played, and the text that was made for it."""
    items, left = [], PLAYED
    for number, (recording, text) in enumerate(zip(artefact.recordings, artefact.parts, strict=True), 1):
        left -= len(recording)
        player = _player(recording, f"{words}, recording {number}") if left >= 0 else ""
        items.append(f"<li>{player}<pre>{_text(text)}</pre></li>")
    return "".join(items)


def _player(wav: bytes, words: str) -> str:
    return f'<audio controls aria-label="{escaped(words)}" src="{_source(Artefact("wav", wav))}"></audio>'


def _text(text: str) -> str:
    return escaped(text[:TEXT_SHOWN] + ("…" if len(text) > TEXT_SHOWN else ""))


def _source(artefact: Artefact) -> str:
    return f"data:{MEDIA[artefact.suffix]};base64,{base64.b64encode(artefact.content).decode()}"


def _size(picture: Artefact) -> tuple[int, int]:
    """Width and height of a PNG (its IHDR) or a GIF (its logical screen), pixels."""
    if picture.suffix == "gif":
        return tuple(int.from_bytes(picture.content[start : start + 2], "little") for start in (6, 8))
    return tuple(int.from_bytes(picture.content[start : start + 4], "big") for start in (16, 20))
