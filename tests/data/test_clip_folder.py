"""A folder of animations is clips: the frames that were written, in their order, and what is no clip is told."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from PIL import Image

from jaxgen.commands.describe import describe
from jaxgen.core.data import Data, Finite, KeepsSpec, Located, Named, Traced, Understood, Validated
from jaxgen.data.clip_folder import Clips
from jaxgen.errors import UserError
from jaxgen.modalities.clip import ClipPresents
from jaxgen.modalities.presents import Meaning
from jaxgen.running.command_line import Changes
from jaxgen.types import Clip, Label
from tests.commands.command import OF_CLIPS, ROOT
from tests.data.batches import made

FRAMES, SIDE = 4, 8
WAYS = {"gif": {}, "webp": {"lossless": True}, "png": {}}


def drawn(seed, frames=FRAMES):
    """[T, H, W, 3] uint8 of few colours, which a GIF holds without loss."""
    values = np.random.default_rng(seed).integers(0, 2, (frames, SIDE, SIDE, 3)) * 255
    return values.astype(np.uint8)


def written(file, clip):
    first, *others = (Image.fromarray(frame) for frame in clip)
    first.save(file, save_all=True, append_images=others, duration=50, **WAYS[file.suffix[1:]])


@pytest.fixture
def folder(tmp_path):
    """Of 20 animations of all kinds, named by their seeds."""
    for seed in range(20):
        written(tmp_path / f"{seed}.{list(WAYS)[seed % 3]}", drawn(seed, FRAMES + seed % 2))
    return tmp_path


def test_a_clip_is_the_first_frames_that_were_written(folder):
    data = Clips(str(folder), batch_size=2, frames=FRAMES, size=SIDE)
    for contract in (Data, Finite, Located, Named, Understood, Validated, KeepsSpec):
        assert isinstance(data, contract)
    assert data.spec().made == Clip(FRAMES, SIDE, SIDE, 3, 256) and isinstance(data.source(), Traced)
    seeds = {}
    for split in ("train", "test"):
        files = data._folder.pictures(split, data._keep(split))
        clips = made(data.first(split, 100))
        seeds[split] = [int(one.file.stem) for one in files]
        for seed, clip in zip(seeds[split], clips, strict=True):
            np.testing.assert_array_equal(clip, drawn(seed)[:FRAMES])
    assert sorted(seeds["train"] + seeds["test"]) == list(range(20))
    batches = data.evaluation("train")
    assert batches["weight"].sum() == len(seeds["train"])
    np.testing.assert_array_equal(made(batches).reshape(-1, FRAMES, SIDE, SIDE, 3)[0], drawn(seeds["train"][0]))


def test_a_file_given_by_hand_is_read_as_one_of_the_folder(folder):
    data = Clips(str(folder), frames=FRAMES, size=6)
    presents = ClipPresents(data.spec().made, Meaning(data.name))
    (one, *_) = data._folder.pictures("test", data._keep("test"))
    np.testing.assert_array_equal(presents.read([str(one.file)])["value"][0], made(data.first("test", 1))[0])


def test_folders_within_are_classes_and_a_tenth_can_be_set_aside(tmp_path):
    for kind in ("cats", "dogs"):
        (tmp_path / kind).mkdir()
        for seed in range(30):
            written(tmp_path / kind / f"{seed}.gif", drawn(seed))
    data = Clips(str(tmp_path), frames=FRAMES, size=SIDE)
    assert data.class_names() == {"class": ("cats", "dogs")} and data.spec().given == (("class", Label(2)),)
    held = data.with_validation()
    counts = {split: len(held.examples(split)) for split in ("train", "validation", "test")}
    assert sum(counts.values()) == 60 and min(counts.values()) > 0
    assert held.split_digests()["train"]["examples"] == counts["train"] and held.content() != data.content()
    with pytest.raises(UserError, match="no validation split"):
        data.examples("validation")


def test_pictures_beside_animations_are_passed_over_and_short_ones_told(folder):
    Image.fromarray(drawn(0)[0]).save(folder / "photo.jpg")
    data = Clips(str(folder), frames=FRAMES, size=SIDE)
    assert sum(len(data.examples(split)) for split in ("train", "test")) == 20
    Image.fromarray(drawn(0)[0]).save(folder / "still.gif")

    def all_of(**settings):
        data = Clips(str(folder), frames=FRAMES, size=SIDE, **settings)
        return [made(data.first(split, 100)) for split in ("train", "test")], data.bad.count

    with pytest.raises(UserError, match=r"still\.gif: it has 1 frame, and a clip here has 4; mend it, or set data"):
        all_of()
    clips, bad = all_of(skip_bad=1)
    assert bad == 1 and sum(map(len, clips)) == 21
    with pytest.raises(UserError, match=r"it has [45] frames, and a clip here has 9"):
        Clips(str(folder), frames=9, size=SIDE).first("train", 1)


@pytest.mark.parametrize("config", OF_CLIPS, ids=lambda path: path.stem)
def test_the_experiment_for_a_folder_says_what_it_is_and_how_it_understands_the_folder(
    config, tmp_path, monkeypatch, capsys
):
    text = config.read_text()
    for word in (f"jaxgen train --config {config.relative_to(ROOT)}", "Expect", "cores"):
        assert len(text.splitlines()) <= 60 and word in text.split('"""')[1]
    (tmp_path / "clips").mkdir()
    for seed in range(8):
        written(tmp_path / "clips" / f"{seed}.gif", drawn(seed, 17))
    monkeypatch.chdir(tmp_path)
    assert describe(str(config), Changes()) == 0
    said = capsys.readouterr().out
    assert "parameters" in said and "the first 16 frames make a clip" in said


def test_a_folder_without_animations_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        Clips(str(tmp_path / "absent")).spec()
    with pytest.raises(UserError, match="holds no picture"):
        Clips(str(tmp_path)).spec()
    Image.fromarray(drawn(0)[0]).save(tmp_path / "photo.jpg")
    with pytest.raises(UserError, match=r"holds no animation \(\.apng, \.avif, \.gif, \.png, \.webp\); name another"):
        Clips(str(tmp_path)).spec()
    with pytest.raises(UserError, match="give at least 1 of each"):
        Clips(str(tmp_path), frames=0)
