"""Where the classes that a run was trained on stand among those of other data."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jaxgen.core.condition_growth import GrowClasses
from jaxgen.errors import UserError, similar
from jaxgen.types import Framing, Label, Modality, Spec, Tokens

_LISTED = 5  # names
_ANEW = "let start.fresh match 'condition/kernel$', so that all classes are learned anew"


@dataclass(frozen=True)
class Classes:
    """What data give, and the names of the classes where they are known."""

    spec: Spec
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, name: str) -> tuple[str, ...]:
        """The names of one label's classes, () where they are not known."""
        return tuple(self.names.get(name, ()))


def placed(growth: GrowClasses, before: Classes, now: Classes) -> GrowClasses:
    """The surgery with the places of the classes of `before` among those of `now`; UserError where they have none."""
    was, given = dict(before.spec.given), dict(now.spec.given)
    labels = [name for name, modality in given.items() if isinstance(modality, Label)]
    if list(was) != list(given) or not labels:
        raise UserError(
            f"start.surgery: GrowClasses is for data that give what the start's gave, with more classes, and these "
            f"give {_told(given)}, the start's {_told(was)}; leave it out, or choose such data"
        )
    grown = [name for name in labels if given[name] != was[name] and isinstance(was[name], Label)]
    if len(grown) != 1:
        raise UserError(
            f"start.surgery: GrowClasses is for one label with more classes than the start's, and of these data "
            f"{_told(grown)} has another number of them; leave it out, or choose other data"
        )
    (name,) = grown
    places = growth.places or _places(name, was[name].classes, given[name].classes, before.of(name), now.of(name))
    order = list(given)
    behind = 1 + sum(_numbers(given[part]) for part in order[order.index(name) + 1 :])
    return replace(growth, places=places, behind=behind)


def _places(name: str, old: int, new: int, before: tuple[str, ...], now: tuple[str, ...]) -> tuple[int, ...]:
    """Where each old class stands: where its name does, or where it stood."""
    if new < old:
        raise UserError(
            f"start.surgery: GrowClasses makes more classes, and the start has {old} of {name} and these data {new}; "
            f"leave it out and {_ANEW}"
        )
    if not (before and now):
        return tuple(range(old))
    if lost := [one for one in before if one not in now]:
        more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
        raise UserError(
            f"start.surgery: these data lack {', '.join(lost[:_LISTED])}{more} of the start's classes"
            f"{similar(lost[0], now)}; give `places` where each of its {old} classes stands, or leave GrowClasses out "
            f"and {_ANEW}"
        )
    return tuple(now.index(one) for one in before)


def _numbers(modality: Modality) -> int:
    """Of a condition's vector (nn/conditions.py), the flag included."""
    if isinstance(modality, Label):
        return modality.classes + 1
    if isinstance(modality, Tokens) and modality.framing is Framing.SOURCE:
        return 1
    raise UserError(
        f"start.surgery: GrowClasses does not know how a network sees {type(modality).__name__} data, which these give "
        f"behind the class; leave it out and {_ANEW}"
    )


def _told(names: Mapping[str, Modality] | list[str]) -> str:
    return " and ".join(names) or "nothing"
