"""No command writes over what it reads, by whatever name: told before the run is even looked for."""
# SPDX-License-Identifier: Apache-2.0

import os

import pytest

from jaxgen.commands.sample import sample
from jaxgen.errors import UserError


@pytest.mark.parametrize("option", ["out", "attention"])
@pytest.mark.parametrize("way", ["itself", "link", "folder/../own.png"])
def test_samples_are_never_written_over_what_they_are_made_from(option, way, tmp_path):
    own = tmp_path / "own.png"
    own.write_bytes(b"a picture")
    os.symlink(own, tmp_path / "link")
    (tmp_path / "folder").mkdir()
    place = str(own if way == "itself" else tmp_path / way)
    for given, begun in (([str(own)], []), (["0"], [str(own)])):
        with pytest.raises(UserError, match=f"is never overwritten; give another --{option}"):
            sample("no/run", None, [], None, given, 1, **{"out": None, option: place}, seed=0, begun=begun)
    assert own.read_bytes() == b"a picture"


@pytest.mark.parametrize(("place", "sentence"), [("folder", "is a folder"), ("none/x.png", "there is no folder")])
def test_a_place_that_cannot_be_a_file_is_told_at_once(place, sentence, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"{sentence}.*give another --out"):
        sample("no/run", None, [], None, ["a word that is " + "long " * 999], 1, str(tmp_path / place), seed=0)
