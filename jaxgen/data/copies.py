"""Copies of data sets, which are frozen, with what was worked out from them worked out anew."""
# SPDX-License-Identifier: Apache-2.0

import copy
from typing import Any, TypeVar

D = TypeVar("D")


def copy_with(data: D, *forgotten: str, **attributes: Any) -> D:
    """A copy of `data` with these attributes, even such as are no arguments of its class, and no cached `forgotten`."""
    given = copy.copy(data)
    for name in forgotten:
        vars(given).pop(name, None)
    for name, value in attributes.items():
        object.__setattr__(given, name, value)
    return given
