"""A peer's checkout is found, or what is wrong with it is told in one sentence."""
# SPDX-License-Identifier: Apache-2.0

import peers
import pytest

from jaxgen.errors import UserError


def test_a_checkout_that_has_what_is_needed_is_found(tmp_path):
    (tmp_path / "model.py").touch()
    assert peers.folders([f"nanogpt={tmp_path}"]) == {"nanogpt": tmp_path}
    assert peers.folders([]) == {}
    for name in (peers.VAE, peers.LM1B):
        lm1b = tmp_path / "checkout" / name
        lm1b.parent.mkdir(parents=True)
        lm1b.touch()
    lm1b.write_text("import dataclasses\n\n@dataclasses.dataclass\nclass Sizes:\n    width: int = 3\n")
    assert peers.folders([f"flax={tmp_path / 'checkout'}"]) == {"flax": tmp_path / "checkout"}
    assert peers.module_of(lm1b).Sizes().width == 3


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
