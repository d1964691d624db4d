"""A peer's checkout is found, or what is wrong with it is told in one sentence."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import peers
import pytest
from pytorch_ways import torch_contestants

from jaxgen.errors import UserError
from jaxgen.timing.contest import Contestant, Work, contest

NEEDED = {"nanogpt": (peers.NANOGPT,), "flax": (peers.LM1B,)}


def test_a_checkout_that_has_what_is_needed_is_found(tmp_path):
    (tmp_path / "model.py").touch()
    assert peers.folders([f"nanogpt={tmp_path}"], NEEDED) == {"nanogpt": tmp_path}
    assert peers.folders([], NEEDED) == {}
    lm1b = tmp_path / "checkout" / peers.LM1B
    lm1b.parent.mkdir(parents=True)
    lm1b.write_text("import dataclasses\n\n@dataclasses.dataclass\nclass Sizes:\n    width: int = 3\n")
    assert peers.folders([f"flax={tmp_path / 'checkout'}"], NEEDED) == {"flax": tmp_path / "checkout"}
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
        peers.folders([word], NEEDED)
    assert "\n" not in str(caught.value)


def test_a_row_says_who_is_absent_and_the_rest_of_it_runs(monkeypatch):
    """A package that is not installed, and a checkout that is not named."""
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)

    def never(*_):
        raise AssertionError("asked to make what cannot be there")

    asked = [
        Contestant("ours", lambda _: Work(lambda: None, 1, {"loss": 1.0})),
        *torch_contestants(never, 1),
        *peers.of_torch(never),
        *peers.of_transformers(never),
        *peers.of_checkout({}, "flax", never),
    ]
    row = contest("race", asked, blocks=1)
    assert [line.name for line in row.lines] == ["ours"]
    assert row.notes == (
        "PyTorch is not installed here (pip install 'jaxgen[peers]')",
        "Flax's example is not named (--peer flax=FOLDER, a checkout of it)",
    )


def test_every_script_asks_for_its_peers_in_one_place():
    """So that each says the same where one is absent."""
    folder = Path(peers.__file__).parent
    asking = {file.name for file in folder.glob("*.py") if "find_spec" in file.read_text(encoding="utf-8")}
    assert asking == {"peers.py"}
