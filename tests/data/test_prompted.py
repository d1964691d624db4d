"""Pictures for prompts are the examples of pictures and their captions, given and made exchanged."""
# SPDX-License-Identifier: Apache-2.0

import json
from shutil import copytree

import jax
import numpy as np
import pytest

from jaxgen.data.captioned import CaptionedPictures
from jaxgen.data.prompted import PromptedPictures
from jaxgen.data.tokenizers import BytePairs
from jaxgen.errors import UserError
from jaxgen.types import Framing, Spec
from tests.families.user_files import captioned


@pytest.mark.parametrize("tokens", [None, BytePairs(260)])
def test_the_same_examples_as_of_captions(tokens):
    how = {} if tokens is None else {"tokens": tokens}
    told, asked = (kind(captioned(), batch_size=8, **how) for kind in (CaptionedPictures, PromptedPictures))
    assert asked.split_digests() == told.split_digests() and asked.content() == told.content()
    assert asked.vocabulary_document() == told.vocabulary_document()
    prompt = dict(asked.spec().given)["prompt"]
    assert prompt.framing is Framing.SOURCE and prompt.length == told.spec().made.length - 1
    for split in ("train", "test"):
        captions, prompts = told.evaluation(split), asked.evaluation(split)
        assert np.array_equal(prompts["made"]["value"], captions["given"]["picture"]["value"])
        assert np.array_equal(prompts["weight"], captions["weight"])
        value, mask = (prompts["given"]["prompt"][name] for name in ("value", "mask"))
        assert np.array_equal(mask, captions["made"]["mask"][..., 1:])  # all but the end
        assert np.array_equal(value[mask], captions["made"]["value"][..., 1:-1][mask]) and not value[~mask].any()
        assert set(prompts["made"]) == {"value"}


def test_sizes_that_a_run_has_kept_stay_and_a_longer_prompt_is_bad(tmp_path):
    folder = str(copytree(captioned(), tmp_path / "pictures"))
    data = PromptedPictures(folder, batch_size=8)
    spec, document = data.spec(), data.vocabulary_document()
    lines = (tmp_path / "pictures" / "captions.jsonl").read_text().splitlines()
    longer = json.loads(lines[0]) | {"caption": "red above left and left again"}
    (tmp_path / "pictures" / "captions.jsonl").write_text("\n".join([json.dumps(longer), *lines[1:]]))
    again = PromptedPictures(folder, batch_size=8).with_vocabulary(document).with_spec(spec)
    assert again.spec() == spec
    with pytest.raises(UserError, match="6 tokens, more than the 3 of all others"):
        for split in ("train", "test"):
            again.evaluation(split)


def test_pictures_are_moved_and_prompts_are_not():
    data = PromptedPictures(captioned(), batch_size=8, shift=1)
    batch = data.first("train", 8) | {"row": np.arange(8)}
    moved = jax.jit(data.augment)(batch, jax.random.key(0))
    assert np.array_equal(moved["given"]["prompt"]["value"], batch["given"]["prompt"]["value"])
    before, after = batch["made"]["value"], np.asarray(moved["made"]["value"])
    wide = np.pad(before, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    shifts = [wide[:, down : down + 8, across : across + 8] for down in range(3) for across in range(3)]
    assert all(any(np.array_equal(after[row], one[row]) for one in shifts) for row in range(8))
    assert not np.array_equal(before, after)


def test_without_prompts_the_same_pictures_are_made_of_nothing_and_are_still_known_by_their_words():
    asked, free = (PromptedPictures(captioned(), batch_size=8, given=given) for given in (True, False))
    assert free.spec() == Spec(asked.spec().made) and free.labelled() == asked
    batch, other = (data.evaluation("test") for data in (asked, free))
    assert not other["given"] and np.array_equal(other["made"]["value"], batch["made"]["value"])
    kept = free.with_vocabulary(free.vocabulary_document()).with_spec(free.spec())
    assert kept.spec() == free.spec() and kept.labelled().spec() == asked.spec()
    assert np.array_equal(kept.first("train", 3)["made"]["value"], asked.first("train", 3)["made"]["value"])
