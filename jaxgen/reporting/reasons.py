"""Why figures are missing, as a row of figures tells it: "unmeasured" maps a figure's name to the reason."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping

REASONS = "unmeasured"


def reasons(row: Mapping[str, object]) -> Mapping[str, object]:
    """Why figures of a row, a JSON object, have no number, by their names."""
    found = row.get(REASONS)
    return found if isinstance(found, Mapping) else {}


def by_reason(row: Mapping[str, object]) -> list[str]:
    """A sentence for each reason, with the names of the figures that it keeps from being measured."""
    found: dict[str, list[str]] = {}
    for name, reason in reasons(row).items():
        found.setdefault(str(reason), []).append(name)
    return [f"not measured: {', '.join(names)} ({reason})" for reason, names in found.items()]
