"""Trackers that ship with jaxgen, a file each; their packages are imported when a run starts them."""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.tracking.trackio import Trackio
from jaxgen.tracking.wandb import WandB

__all__ = ["Trackio", "WandB"]
