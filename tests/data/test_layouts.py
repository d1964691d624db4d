"""Folders of pictures in every layout that people have: classes, splits, and what is left out and said."""
# SPDX-License-Identifier: Apache-2.0

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.data.layouts import Layout
from jaxgen.data.splits import held_out, in_validation, tenth_of
from jaxgen.data.text_folder import TextFolder
from jaxgen.errors import UserError

SPLITS = ("train", "validation", "test")


def folder_of(root: Path, *names: str) -> Path:
    """Files of these names: what they hold does not matter to the layout."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return root


def some(*folders: str, count: int = 4) -> Iterable[str]:
    return (f"{folder}/{number}.png" for folder in folders for number in range(count))


def names(layout: Layout) -> dict[str, list[str]]:
    return {split: [picture.name for picture in pictures] for split, pictures in layout.splits.items()}


def everything(layout: Layout) -> set[str]:
    return {name for found in names(layout).values() for name in found}


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize(
    ("others", "splits"),
    [
        (("test",), ("train", "test")),
        (("Testing",), ("train", "test")),
        (("val", "test"), SPLITS),
        (("Valid", "TEST"), SPLITS),
        (("validation", "testing"), SPLITS),
        (("dev", "test"), SPLITS),
    ],
)
@pytest.mark.parametrize("classes", [(), ("ants", "bees")])
def test_folders_of_splits_in_any_letter_case_with_classes_and_without(train, others, splits, classes, tmp_path):
    tops = (train, *others)
    inside = [f"{top}/{kind}" for top in tops for kind in classes] or tops
    layout = Layout.of(folder_of(tmp_path, *some(*inside)))
    assert tuple(layout.splits) == splits and layout.classes == classes and not layout.left_out
    for split, found in layout.splits.items():
        top = train if split == "train" else others[splits.index(split) - 1]
        assert [picture.name for picture in found] == sorted(some(*(one for one in inside if one.startswith(top))))
        assert all(picture.kind == (picture.name.split("/")[1] if classes else None) for picture in found)


def test_the_only_split_beside_the_training_one_is_the_test_whatever_it_is_called(tmp_path):
    layout = Layout.of(folder_of(tmp_path, *some("train/a", "train/b", "valid/a", "valid/b")))
    assert layout.classes == ("a", "b") and set(layout.splits) == {"train", "test"}
    assert names(layout)["test"] == [*some("valid/a", "valid/b")] and "valid" in layout.how


def test_splits_may_lie_inside_the_classes(tmp_path):
    layout = Layout.of(folder_of(tmp_path, *some("ants/train", "ants/val", "bees/train", "bees/val")))
    assert layout.classes == ("ants", "bees")
    assert names(layout) == {"train": [*some("ants/train", "bees/train")], "test": [*some("ants/val", "bees/val")]}


def test_a_class_may_be_called_like_a_split_and_a_lone_folder_called_train_is_none(tmp_path):
    assert Layout.of(folder_of(tmp_path / "a", *some("bus", "car", "train"))).classes == ("bus", "car", "train")
    alone = Layout.of(folder_of(tmp_path / "b", *some("train/a", "train/b")))
    assert alone.classes == ("a", "b") and len(everything(alone)) == 8
    with pytest.raises(UserError, match="has the folders test, val and none to train on"):
        Layout.of(folder_of(tmp_path / "c", *some("test", "val")))


LEFTOVERS = (
    *("__MACOSX/ants/._0.png", "ants/._1.png", "ants/.DS_Store", "Thumbs.db", "ants/desktop.ini"),
    *(".ipynb_checkpoints/0-checkpoint.png", "bees/@eaDir/0.png", ".git/objects/a.png", ".Trash/0.jpg", "README.md"),
)


def test_what_file_managers_archives_and_notebooks_leave_behind_is_no_data(tmp_path):
    plain = Layout.of(folder_of(tmp_path / "plain", *some("ants", "bees")))
    layout = Layout.of(folder_of(tmp_path / "full", *some("ants", "bees"), *LEFTOVERS))
    assert names(layout) == names(plain) and layout.classes == plain.classes == ("ants", "bees")
    assert layout.left_out == ("6 hidden pictures that programs left behind",)
    inside = [f"{split}/{name}" for split in ("train", "test") for name in (*some("ants", "bees"), *LEFTOVERS)]
    assert Layout.of(folder_of(tmp_path / "cut", *inside)).classes == ("ants", "bees")


@pytest.mark.parametrize("around", ["", "p/", "p/p/", "archive/images/"])
def test_folders_around_a_set_change_nothing_but_names(around, tmp_path):
    inside = folder_of(tmp_path, *(around + name for name in some("ants", "bees", count=20)), "__MACOSX/._p")
    layout = Layout.of(inside)
    assert layout.classes == ("ants", "bees") and len(everything(layout)) == 40
    split = Layout.of(folder_of(tmp_path / "other", *(around + name for name in some("train", "test"))))
    assert [len(found) for found in split.splits.values()] == [4, 4] and split.classes == ()


def test_stray_pictures_beside_the_classes_are_left_out_and_said(tmp_path):
    layout = Layout.of(folder_of(tmp_path, *some("ants", "bees"), "stray.png", "notes.txt", "a.heic", "b.HEIC"))
    assert layout.classes == ("ants", "bees") and "stray.png" not in everything(layout)
    told = " ".join(layout.told())
    assert "2 classes (ants, bees)" in told and "beside the folders of the classes 1 picture (stray.png)" in told
    assert "files that are no pictures jaxgen reads, 2 .heic, 1 .txt" in told
    mostly = Layout.of(folder_of(tmp_path / "x", *(f"{number}.png" for number in range(20)), *some("old", "new")))
    assert mostly.classes == () and len(everything(mostly)) == 28 and not mostly.left_out


def test_beside_folders_of_splits_nothing_else_is_read(tmp_path):
    extra = ("extra/1.png", "loose.png", "train/stray.png")
    layout = Layout.of(folder_of(tmp_path, *some("train/a", "train/b", "test/a", "test/c"), *extra))
    assert layout.classes == ("a", "b")
    assert names(layout) == {"train": [*some("train/a", "train/b")], "test": [*some("test/a")]}
    told = " ".join(layout.told())
    assert "beside the folders of the splits 2 pictures (extra/, loose.png)" in told
    assert "1 picture (train/stray.png)" in told and "of classes without a training picture 4 pictures (c/)" in told


def test_a_test_folder_without_classes_is_said_and_a_tenth_of_the_training_pictures_held_out(tmp_path):
    layout = Layout.of(folder_of(tmp_path, *some("train/a", "train/b", count=30), *some("test")))
    assert layout.classes == ("a", "b") and len(everything(layout)) == 60 and "hash" in layout.how
    assert "4 pictures (test/0.png, test/1.png, test/2.png, ...)" in layout.left_out[0]


def test_the_samples_of_a_run_that_lies_in_the_folder_are_no_data(tmp_path):
    run = ("runs/a/experiment.json", "runs/a/samples/100.png", "runs/a/samples/200.png")
    layout = Layout.of(folder_of(tmp_path, *some("ants", "bees"), *run))
    assert layout.classes == ("ants", "bees") and layout.left_out == ("1 folders of jaxgen's runs",)


def test_pictures_lie_as_deep_as_they_like_and_links_are_followed_once(tmp_path):
    folder_of(tmp_path, *some("set/ants/2020/may", "set/bees"), *some("elsewhere"))
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "cats")
    os.symlink(tmp_path / "set", tmp_path / "set" / "bees" / "again")
    layout = Layout.of(tmp_path / "set")
    assert layout.classes == ("ants", "bees", "cats") and len(everything(layout)) == 12


def test_captions_are_found_at_the_root_and_in_the_folders_of_the_splits(tmp_path):
    layout = Layout.of(folder_of(tmp_path / "a", *some("images"), "captions.jsonl"))
    assert layout.captions == (tmp_path / "a" / "captions.jsonl",) and len(everything(layout)) == 4
    files = ("train/captions.jsonl", "test/captions.jsonl")
    layout = Layout.of(folder_of(tmp_path / "b", *some("train", "test"), *files))
    assert set(layout.captions) == {tmp_path / "b" / name for name in files}


def test_a_folder_without_a_picture_says_what_it_holds(tmp_path):
    with pytest.raises(UserError, match=r"holds no picture \(.*.png.*\); it holds 2 .heic; name another"):
        Layout.of(folder_of(tmp_path, "a.heic", "b.heic"))


NAMES = st.sets(st.text("abcdef0123/", min_size=1, max_size=12), min_size=1, max_size=40)


@given(NAMES, NAMES)
@settings(max_examples=200)
def test_what_is_added_moves_no_other_example(before, added):
    """Nothing trained on is ever tested by; and where a hash alone decides, which it mostly does, nothing moves."""
    first, then = (held_out(sorted(some), str) for some in (before, before | added))
    for parts, whole in ((first, before), (then, before | added)):
        assert set(parts["train"]) | set(parts["test"]) == whole and parts["train"] and parts["test"]
        assert len(whole) == 1 or not set(parts["train"]) & set(parts["test"])
    by_hash = {name for name in before if tenth_of(name) == 1}
    if by_hash and by_hash != before:
        assert set(first["test"]) == set(then["test"]) & before == by_hash
    elif not by_hash and len(before) > 1:
        assert not set(then["test"]) & set(first["train"])


def test_a_tenth_is_held_out_and_another_for_validation():
    many = [f"class/{number}.png" for number in range(5000)]
    parts = held_out(many, str)
    assert 400 < len(parts["test"]) < 600
    assert 350 < sum(map(in_validation, parts["train"])) < 650 and not any(map(in_validation, parts["test"]))


def test_of_two_pictures_one_is_the_test_and_a_single_one_is_both(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    single = Layout.of(tmp_path)
    assert names(single) == {"train": ["a.png"], "test": ["a.png"]} and "single" in single.how
    folder_of(tmp_path, "b.png")
    assert sorted(map(len, Layout.of(tmp_path).splits.values())) == [1, 1]


@pytest.mark.parametrize("kind", [Layout, TextFolder])
def test_a_folder_that_the_disk_does_not_list_is_told(kind, tmp_path, monkeypatch):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / place / "1.png")
        (tmp_path / place / "1.txt").write_text("one")
    scan = os.scandir

    def failing(path):
        if str(path).endswith("b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(UserError, match="/b cannot be read"):
        kind.of(tmp_path)


def test_a_link_to_nothing_among_texts_is_left_out(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "c.txt").symlink_to(tmp_path / "nowhere")
    assert TextFolder.of(tmp_path).left_out == ("1 links to nothing",)


def test_what_a_run_in_the_folder_has_made_is_no_data(tmp_path):
    """A run that was given the data's own folder, and one in a folder below."""
    for place in (".", "runs/one"):
        folder_of(tmp_path / place, "experiment.json", "samples/2.png", "samples/2.txt", "checkpoints/3/a.png")
    folder_of(tmp_path, *some("."), "a.txt", "b.txt")
    names = [picture.name for pictures in Layout.of(tmp_path).splits.values() for picture in pictures]
    assert sorted(names) == ["0.png", "1.png", "2.png", "3.png"]
    assert sorted(file for files in TextFolder.of(tmp_path).splits.values() for file in files) == ["a.txt", "b.txt"]
