"""A mesh that does not fit is one sentence; left alone, the largest that fits is found."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.errors import UserError
from jaxgen.training.parallel import Compiler, Parallel


@pytest.mark.parametrize(("batch", "devices"), [(8, 4), (6, 3), (7, 1), (1, 1), (10, 2)])
def test_as_many_devices_as_divide_the_batch(batch, devices):
    assert Parallel().place(batch).count == devices
    assert Parallel(compiler=Compiler.PMAP).place(batch).count == devices


@pytest.mark.parametrize(
    ("parallel", "sentence"),
    [
        (Parallel(data=8), "data=8,fsdp=1,tensor=1 wants 8 devices and there are 4"),
        (Parallel(data=3), "a batch of 8 cannot be cut into data\\*fsdp = 3 equal parts"),
        (Parallel(compiler=Compiler.PMAP, fsdp=2), "use --parallel jit"),
        (Parallel(compiler=Compiler.PMAP, tensor=2), "use --parallel jit"),
    ],
)
def test_a_mesh_asked_for_by_hand_that_does_not_fit(parallel, sentence):
    with pytest.raises(UserError, match=sentence):
        parallel.place(8)
