"""TensorBoard events, thin over tensorboardX (which needs neither TensorFlow nor PyTorch)."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import io
import os
import time
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import UInt8

from jaxgen.errors import UserError
from jaxgen.reporting.artefacts import Artefact


class EventWriter:
    """Writes scalars and pictures for TensorBoard into `folder` (RUN/events); close it, or use it in a `with`.

    `resumed_at`: the last step that a resumed run kept; TensorBoard hides what the killed run had written after it.
    Events are written where they are said and not on tensorboardX's own thread, which ends silently on a full disk and
    leaves the run waiting for it: here a UserError comes back at once.
    """

    def __init__(self, folder: str | os.PathLike, resumed_at: int | None = None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._folder = os.fspath(folder)
        with self._told():
            os.makedirs(folder, exist_ok=True)
            self._writer = EventsWriter(os.path.join(self._folder, "events"))
        if resumed_at is not None:  # TensorBoard drops the step named here and all after it
            self._write(Event(step=resumed_at + 1, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """One line of metrics. Tags are `loss/train`, `loss/test`, so that both stand side by side."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        for name, value in values.items():
            self._write(Event(step=step, summary=summary.scalar(f"{name}/{split}", value)))

    def image(self, step: int, name: str, picture: bytes | UInt8[np.ndarray, "H W C"]) -> None:
        """A picture: the bytes of a PNG, or uint8 pixels with 1, 3 or 4 channels."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        if isinstance(picture, bytes):
            from PIL import Image

            picture = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))
        self._write(Event(step=step, summary=summary.image(name, picture, dataformats="HWC")))

    def artefact(self, step: int, name: str, artefact: Artefact) -> None:
        """Samples as TensorBoard shows their kind: a picture, an animation, a sound or a text."""
        match artefact.suffix:
            case "png":
                self.image(step, name, artefact.content)
            case "gif" | "wav" | "txt":
                self._other(step, name, artefact)

    def _other(self, step: int, name: str, artefact: Artefact) -> None:
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        if artefact.suffix == "txt":
            text = "    " + artefact.content.decode().replace("\n", "\n    ")  # as it stands, not as Markdown
            self._write(Event(step=step, summary=summary.text(name, text)))
            return
        value = Summary.Value(tag=name)
        if artefact.suffix == "gif":
            from PIL import Image

            with Image.open(io.BytesIO(artefact.content)) as picture:
                shape = {"width": picture.width, "height": picture.height, "colorspace": 3}
            value.image.CopyFrom(Summary.Image(encoded_image_string=artefact.content, **shape))
        else:
            value.audio.CopyFrom(Summary.Audio(encoded_audio_string=artefact.content, content_type="audio/wav"))
        self._write(Event(step=step, summary=Summary(value=[value])))

    def _write(self, event) -> None:
        event.wall_time = time.time()
        with self._told():
            self._writer.write_event(event)

    def close(self) -> None:
        """Write out what is still held back."""
        with self._told():
            self._writer.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f"TensorBoard's events could not be written to {self._folder} ({error.strerror})"
            raise UserError(f"{place}; make room and run the same command again") from None

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            self.close()
        except UserError:
            if kind is None:  # else what ended the run is told, not what follows from it
                raise
