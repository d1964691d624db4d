"""A run's samples as trackers show them: the classes for media have the same names in W&B and Trackio."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def shown(package: ModuleType, file: Path, text: Callable[[str], Any]) -> dict[str, Any]:
    """The samples in a .png, .gif, .wav or .txt as the package's picture, video, sound or, by `text`, as a text."""
    match file.suffix:
        case ".png":
            samples = package.Image(str(file))
        case ".gif":
            samples = package.Video(str(file), format="gif")
        case ".wav":
            samples = package.Audio(str(file))
        case _:
            samples = text(file.read_text("utf-8", "replace"))
    return {"samples": samples}
