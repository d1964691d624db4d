"""Idle devices are told, with sizes that leave none idle."""
# SPDX-License-Identifier: Apache-2.0

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.training.even_batches import idle_devices
from jaxgen.training.parallel import Parallel


def used(batch_size: int, present: int) -> int:
    """The most devices that share a batch evenly, by trying all."""
    return max(count for count in range(1, present + 1) if batch_size % count == 0)


@given(st.integers(1, 300), st.integers(1, 16), st.integers(1, 4))
def test_the_sizes_named_are_the_nearest_that_use_all_devices(batch_size, present, accumulate):
    count = used(batch_size, present)
    said = idle_devices(Parallel(), count, present, batch_size, accumulate)
    assert (said is None) == (count == present)
    if said is None:
        return
    assert f"over {count} of {present} devices" in said
    named = [int(size) for size in re.search(r"batch_size=(\d+)(?: or (\d+))?", said).groups() if size]
    fitting = [size for size in range(1, 1000) if used(size, present) == present and size % (present * accumulate) == 0]
    below = [size for size in fitting if size < batch_size]
    assert named == [*below[-1:], next(size for size in fitting if size > batch_size)]


@pytest.mark.parametrize(
    ("parallel", "count", "present", "batch_size", "said"),
    [
        (Parallel(), 1, 2, 63, "62 or 64 would use all"),
        (Parallel(), 5, 8, 100, "96 or 104 would use all"),
        (Parallel(), 1, 8, 1, "data.batch_size=8 would use all"),
        (Parallel(fsdp=2), 2, 8, 10, "8 or 16 would use all"),
        (Parallel(tensor=3), 3, 8, 3, "2 or 4 would use 6"),  # two devices have no place in such a mesh
        (Parallel(data=1), 1, 8, 64, None),  # the user's own choice
        (Parallel(fsdp=2), 8, 8, 16, None),
    ],
)
def test_a_mesh_counts_its_other_axes(parallel, count, present, batch_size, said):
    found = idle_devices(parallel, count, present, batch_size)
    assert (found is None) if said is None else (said in found)
