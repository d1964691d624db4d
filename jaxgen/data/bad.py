"""Examples that cannot be read: refused by place, or tolerated up to a number that the user gives, and counted."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxgen.errors import UserError

_REMEMBERED = 3  # of the bad examples, for the printed line
_NAMED = 10  # of those that are refused together


@dataclass
class BadExamples:
    """Counts the bad examples of one reading of a set; `tolerate` of them pass, the next is refused."""

    tolerate: int = 0
    passed: dict[str, str] = field(default_factory=dict)  # the place of each that has, and what is wrong there

    def __post_init__(self):
        if self.tolerate < 0:
            raise UserError(
                f"data.skip_bad is {self.tolerate}; give 0 to refuse every bad example, or how many may pass"
            )

    def refuse(self, place: str, what: str) -> None:
        """Lets a bad example pass (`place`: its file and index), however often met; UserError for one too many."""
        if place not in self.passed and len(self.passed) >= self.tolerate:
            raise UserError(f"{place}: {what}; mend it, or set data.skip_bad to tolerate some")
        self.passed[place] = what

    def refuse_all(self, found: Mapping[str, str]) -> None:
        """Lets all of these pass, {place: what is wrong}; UserError that names them where they are too many."""
        bad = self.passed | found
        if len(bad) > self.tolerate:
            named = "; ".join(f"{place}: {what}" for place, what in list(bad.items())[:_NAMED])
            more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            raise UserError(
                f"{len(bad)} examples are bad: {named}{more}; mend or remove them, or set data.skip_bad={len(bad)}"
                if len(bad) > 1
                else f"{named}; mend or remove it, or set data.skip_bad=1"
            )
        self.passed |= found

    @property
    def count(self) -> int:
        return len(self.passed)

    def told(self) -> str:
        """One line for the user about what was skipped; empty when nothing was."""
        if not self.count:
            return ""
        first = [f"{place}: {what}" for place, what in list(self.passed.items())[:_REMEMBERED]]
        more = f", and {self.count - len(first)} more" if self.count > len(first) else ""
        return f"skipped {self.count} bad examples ({'; '.join(first)}{more})"
