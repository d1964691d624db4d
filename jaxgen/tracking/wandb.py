"""Weights & Biases: offline unless its `mode` says otherwise."""
# SPDX-License-Identifier: Apache-2.0

import enum
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jaxgen.core.tracker import TrackedRun
from jaxgen.tracking.media import shown


class Mode(enum.Enum):
    """Where W&B keeps a run."""

    OFFLINE = "offline"  # in RUN/wandb, until `wandb sync` sends it
    ONLINE = "online"  # on its server as the run goes


@dataclass(frozen=True)
class WandB:
    """A run of W&B for each run folder; one that goes on continues it under the same id."""

    project: str
    entity: str | None = None  # the team or user; None: the default of the account
    mode: Mode = Mode.OFFLINE  # whatever the environment variable WANDB_MODE says
    tags: tuple[str, ...] = ()
    package: ClassVar[str] = "wandb"

    def start(self, run: TrackedRun) -> "_Session":
        import wandb

        return _Session(
            wandb.init(
                project=self.project,
                entity=self.entity,
                mode=self.mode.value,
                tags=self.tags,
                name=run.name,
                id=run.id,
                resume="allow" if self.mode is Mode.ONLINE else None,  # offline the id alone joins the parts
                dir=run.folder,
                config=dict(run.config),
                settings=wandb.Settings(console="off", silent=True, disable_code=True),
            )
        )


class _Session:
    def __init__(self, run: Any):
        self._run = run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def samples(self, step: int, file: Path) -> None:
        import wandb

        def as_it_stands(text: str) -> Any:
            return wandb.Html(f"<pre>{html.escape(text)}</pre>")

        self._run.log(shown(wandb, file, as_it_stands), step=step)

    def finish(self) -> None:
        self._run.finish()
