"""Examples that cannot be read: refused by place, or tolerated up to a number that the user gives, and counted."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field

from jaxgen.errors import UserError

_REMEMBERED = 3  # of the bad examples, for the printed line


@dataclass
class BadExamples:
    """Counts the bad examples of one reading of a set; `tolerate` of them pass, the next is refused."""

    tolerate: int = 0
    count: int = 0
    first: list[str] = field(default_factory=list)

    def __post_init__(self):
        if self.tolerate < 0:
            raise UserError(
                f"data.skip_bad is {self.tolerate}; give 0 to refuse every bad example, or how many may pass"
            )

    def refuse(self, place: str, what: str) -> None:
        """Counts a bad example (`place`: its file and index); UserError once more than `tolerate` were met."""
        self.count += 1
        if self.count > self.tolerate:
            raise UserError(f"{place}: {what}; mend it, or set data.skip_bad to tolerate some")
        if len(self.first) < _REMEMBERED:
            self.first.append(f"{place}: {what}")

    def told(self) -> str:
        """One line for the user about what was skipped; empty when nothing was."""
        if not self.count:
            return ""
        more = f", and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return f"skipped {self.count} bad examples ({'; '.join(self.first)}{more})"
