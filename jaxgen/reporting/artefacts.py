"""What a run shows of its samples and edits: files of kinds that every viewer opens."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path

from jaxgen.errors import UserError

RECORDING = "given-"  # given-1.wav and so on among a run's samples, one for each example of its newest text
PARTED = "\n\n――――――――\n\n"  # between the examples of a text
MEDIA = {"png": "image/png", "gif": "image/gif", "wav": "audio/wav", "txt": "text/plain"}
SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF8", "wav": b"RIFF", "txt": b""}  # how such files begin


@dataclass(frozen=True)
class Artefact:
    """A file's content; `suffix` is a key of MEDIA.

    `recordings`: the wav files that the examples of a text were made for, one for each of its parts.
    """

    suffix: str
    content: bytes
    recordings: tuple[bytes, ...] = ()

    @property
    def is_text(self) -> bool:
        return self.suffix == "txt"

    @property
    def parts(self) -> list[str]:
        """A text's examples."""
        return self.content.decode("utf-8", "replace").split(PARTED)

    def __post_init__(self):
        if self.suffix not in MEDIA:
            raise ValueError(f"{self.suffix!r} is none of {', '.join(MEDIA)}")


def read_artefact(path: Path) -> Artefact:
    """The file of a kind that its name tells. UserError where it begins otherwise."""
    artefact = Artefact(path.suffix[1:], path.read_bytes())
    if not artefact.content.startswith(SIGNATURES[artefact.suffix]):
        raise UserError(f"{path} is no {artefact.suffix.upper()} file; delete it")
    return artefact
