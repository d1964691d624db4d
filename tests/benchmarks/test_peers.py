"""A peer's checkout is found, or what is wrong with it is told in one sentence."""
# SPDX-License-Identifier: Apache-2.0

import peers
import pytest

from jaxgen.errors import UserError


def test_a_checkout_that_has_what_is_needed_is_found(tmp_path):
    (tmp_path / "model.py").touch()
    assert peers.folders([f"nanogpt={tmp_path}"]) == {"nanogpt": tmp_path}
    assert peers.folders([]) == {}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("nanogpt", "write NAME=FOLDER"),
        ("nanogpt=", "write NAME=FOLDER"),
        ("nanogtp=.", "did you mean 'nanogpt'"),
        ("nanogpt=nowhere", "nowhere has no model.py"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(word, told):
    with pytest.raises(UserError, match=told) as caught:
        peers.folders([word])
    assert "\n" not in str(caught.value)
