"""What a run shows of its samples: one file, of a kind that every viewer opens."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

MEDIA = {"png": "image/png", "gif": "image/gif", "wav": "audio/wav", "txt": "text/plain"}


@dataclass(frozen=True)
class Artefact:
    """A file's content; `suffix` is a key of MEDIA."""

    suffix: str
    content: bytes

    @property
    def is_text(self) -> bool:
        return self.suffix == "txt"

    def __post_init__(self):
        if self.suffix not in MEDIA:
            raise ValueError(f"{self.suffix!r} is none of {', '.join(MEDIA)}")
