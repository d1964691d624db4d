"""Tasks that train one network by one loss: language models, encoders with a decoder, recognition by CTC."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

from jaxgen.core.layout import Rule
from jaxgen.core.task import Turn


class OneNetwork:
    """What tasks of one network have in common (core.task.Task): one turn, which lowers their own loss."""

    network: Any  # a Linen module with a `layout`

    def rows(self, batch_size: int) -> Any:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return self.network.layout

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("likelihood", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared
