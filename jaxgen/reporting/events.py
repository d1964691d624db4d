"""TensorBoard events, thin over tensorboardX (which needs neither TensorFlow nor PyTorch)."""
# SPDX-License-Identifier: Apache-2.0

import io
import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8


class EventWriter:
    """Writes scalars and pictures for TensorBoard into `folder` (RUN/events); close it, or use it in a `with`.

    `resumed_at`: the last step that a resumed run kept; TensorBoard hides what the killed run had written after it.
    """

    def __init__(self, folder: str | os.PathLike, resumed_at: int | None = None):
        from tensorboardX import SummaryWriter

        purge_step = None if resumed_at is None else resumed_at + 1  # TensorBoard drops this step and all after it
        self._writer = SummaryWriter(os.fspath(folder), purge_step=purge_step)

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """One line of metrics. Tags are `loss/train`, `loss/test`, so that both stand side by side."""
        for name, value in values.items():
            self._writer.add_scalar(f"{name}/{split}", value, step)

    def image(self, step: int, name: str, picture: bytes | UInt8[np.ndarray, "H W C"]) -> None:
        """A picture: the bytes of a PNG, or uint8 pixels with 1, 3 or 4 channels."""
        if isinstance(picture, bytes):
            from PIL import Image

            picture = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is still held back."""
        self._writer.close()

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
