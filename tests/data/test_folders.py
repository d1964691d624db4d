"""Folders of the user's pictures: classes, captions and splits are read as they lie, and what is wrong is named."""
# SPDX-License-Identifier: Apache-2.0

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgen.data import pictures
from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.errors import UserError
from jaxgen.types import Framing, Label, Spec, Tokens, Unit
from jaxgen.types import Image as Size
from tests.data.batches import batch_at, given, made, same


def colour(number: int) -> tuple[int, int, int]:
    return 10 * (number % 20), 255 - number, (7 * number) % 256


def folder_of(tmp_path: Path, count: int = 20, classes: tuple[str, ...] = ("cats", "dogs")) -> Path:
    """Pictures of one colour each, which tells their number; PNG, so that it comes back exactly."""
    for number in range(count):
        place = tmp_path / classes[number % len(classes)] if classes else tmp_path
        place.mkdir(exist_ok=True)
        Image.new("RGB", (6, 4), colour(number)).save(place / f"{number:03}.png")
    return tmp_path


def numbers(images: np.ndarray) -> list[int]:
    """The pictures' numbers, from their green."""
    return [255 - int(image[0, 0, 1]) for image in images]


def test_classes_are_the_subfolders_and_one_in_ten_is_held_out(tmp_path):
    data = Pictures(name=str(folder_of(tmp_path)))
    assert data.spec() == Spec(Size(4, 6, 3, 256), (("class", Label(2)),))
    assert data.class_names() == {"class": ("cats", "dogs")}
    parts = {split: data.arrays(split) for split in ("train", "test")}
    seen = {split: numbers(made(arrays)) for split, arrays in parts.items()}
    assert seen["test"] and sorted(seen["train"] + seen["test"]) == list(range(20))
    for split, arrays in parts.items():
        assert [number % 2 for number in seen[split]] == given(arrays).tolist()
        assert all((image == colour(number)).all() for image, number in zip(made(arrays), seen[split], strict=True))
    again = Pictures(name=str(tmp_path), train="train[:50%]", test="train[50%:]")
    assert numbers(made(again.arrays("train"))) + numbers(made(again.arrays("test"))) == seen["train"]


def test_a_folder_may_say_itself_what_is_held_out(tmp_path):
    for split, count in (("train", 5), ("test", 3)):
        (tmp_path / split).mkdir()
        folder_of(tmp_path / split, count)
    data = Pictures(name=str(tmp_path))
    assert numbers(made(data.arrays("test"))) == [0, 2, 1] and given(data.arrays("test")).tolist() == [0, 0, 1]
    assert len(made(data.arrays("train+test"))) == 8


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_wherever_the_pictures_live_the_batches_are_the_same(workers, tmp_path):
    name = str(folder_of(tmp_path))
    resident, host, disk = (
        Pictures(name=name, batch_size=8, residence=residence, workers=workers).source()
        for residence in (Residence.DEVICE, Residence.HOST, Residence.DISK)
    )
    key, rows = jax.random.key(3), np.arange(8)
    stream = disk.stream(key, 2, rows)  # a run that is resumed at its third batch
    for number in range(2, 7):
        expected = batch_at(host, key, number)
        inside = resident.next(key, None, np.uint32(number), rows)[0]
        found = next(stream)
        assert same(found, expected) and same(inside, expected)
    parts = [next(disk.stream(key, 4, some)) for some in np.array_split(rows, 2)]  # two processes
    whole = batch_at(host, key, 4)
    assert same(jax.tree.map(lambda *cut: np.concatenate(cut), *parts), whole)


def test_a_large_split_is_evaluated_in_parts_of_the_very_same_rows(tmp_path, monkeypatch):
    data = Pictures(name=str(folder_of(tmp_path, 23)), batch_size=4, test="train+test")
    assert len(data.evaluation_parts("test")) == 0
    monkeypatch.setattr(pictures, "_PART", 2 * 4 * 4 * 6 * 3)  # two batches
    whole, parts = data.evaluation("test"), list(data.evaluation_parts("test"))
    assert [part["weight"].sum() for part in parts] == [8, 8, 7] and {part["row"].shape for part in parts} == {(2, 4)}
    assert same(jax.tree.map(lambda *each: np.concatenate(each), *parts), whole)
    assert all(a.dtype == b.dtype for a, b in zip(jax.tree.leaves(parts[0]), jax.tree.leaves(whole), strict=True))


def test_other_sizes_modes_and_see_through_ones_are_made_alike(tmp_path):
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "a.png")
    Image.new("L", (12, 8), 77).save(tmp_path / "b.png")
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "c.png")
    data = Pictures(name=str(tmp_path), size=4, train="train+test")
    assert data.spec() == Spec(Size(4, 4, 3, 256))
    found = sorted(tuple(image[0, 0].tolist()) for image in made(data.arrays("train")))
    assert found == [(1, 2, 3), (77, 77, 77), (255, 255, 255)]


def test_captions_come_as_bytes(tmp_path):
    folder_of(tmp_path, 4, ())
    lines = [json.dumps({"file": f"{number:03}.png", "caption": f"n° {number}"}) for number in range(4)]
    (tmp_path / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = Pictures(name=str(tmp_path), train="train+test", caption_length=6)
    assert dict(data.spec().given)["caption"] == Tokens(6, 256, Unit.BYTE, Framing.SOURCE)
    arrays = data.arrays("train")
    caption = arrays["given"]["caption"]
    for number, source, mask in zip(numbers(made(arrays)), caption["value"], caption["mask"], strict=True):
        assert bytes(source[mask].tolist()).decode() == f"n° {number}"


def empty(folder: Path) -> str:
    (folder / "cats" / "000.png").write_bytes(b"")
    return r"cats/000.png: no picture can be read from it \(the file is empty\)"


def truncated(folder: Path) -> str:
    path = folder / "dogs" / "003.png"
    path.write_bytes(path.read_bytes()[:40])
    return r"dogs/003.png: no picture can be read"


def no_picture(folder: Path) -> str:
    (folder / "dogs" / "001.png").write_text("hello")
    return r"dogs/001.png: no picture can be read"


@pytest.mark.parametrize("spoil", [empty, truncated, no_picture])
@pytest.mark.parametrize("residence", [Residence.DEVICE, Residence.DISK])
def test_a_bad_picture_is_refused_by_name_or_stood_in_for(spoil, residence, tmp_path):
    name, sentence = str(folder_of(tmp_path)), spoil(tmp_path)
    key = jax.random.key(0)

    def batch(skip_bad: int):
        data = Pictures(name=name, batch_size=20, residence=residence, skip_bad=skip_bad, train="train+test", size=4)
        source = data.source()
        if residence is Residence.DISK:
            return data, next(source.stream(key, 0, np.arange(20)))
        return data, source.next(key, None, np.uint32(0), np.arange(20))[0]

    with pytest.raises(UserError, match=sentence):
        batch(0)
    data, found = batch(1)
    assert len(set(numbers(np.asarray(made(found))))) == 19
    assert data.bad.count == 1 and "skipped 1 bad example" in list(data.remarks(data.source()))[-1]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b'{"file": "000.png"}', "line 1: it is no"),
        (b'{"file": "000.png", "caption": "\xff"}', "line 1: it is no"),
        (b'{"file": "nine.png", "caption": "nine"}', "line 1: it names nine.png, which is not there"),
        (b'{"file": "000.png", "caption": "zero"}', "has no caption for it"),
    ],
)
def test_wrong_captions_are_named_by_line(line, sentence, tmp_path):
    (folder_of(tmp_path, 3, ()) / "captions.jsonl").write_bytes(line)
    with pytest.raises(UserError, match=sentence):
        Pictures(name=str(tmp_path), train="train+test").arrays("train")


def test_a_picture_more_moves_no_other_into_or_out_of_validation(tmp_path):
    def split(folder):
        data = Pictures(name=str(folder), train="train+test").with_validation()
        return {part: set(numbers(made(data.arrays(part)))) for part in ("train", "validation")}

    before = split(folder_of(tmp_path, 60))
    assert 0 < len(before["validation"]) < 15 and not before["train"] & before["validation"]
    after = split(folder_of(tmp_path, 61))
    assert all(before[part] == after[part] - {60} for part in before)


def test_a_folder_without_pictures_and_an_empty_split(tmp_path):
    with pytest.raises(UserError, match="holds no picture"):
        Pictures(name=str(tmp_path)).spec()
    folder_of(tmp_path, 3)
    with pytest.raises(UserError, match=r"the split 'train\[:0\]' of .* is empty"):
        Pictures(name=str(tmp_path), train="train[:0]").arrays("train")


def test_pictures_of_one_size_keep_it_and_others_are_cut_to_the_shortest_side_openly(tmp_path):
    folder_of(tmp_path, 20, ())
    assert Pictures(name=str(tmp_path)).spec().made.shape == (4, 6, 3)
    assert len(list(Pictures(name=str(tmp_path)).understood())) == 1
    Image.new("RGB", (30, 20), (7, 7, 7)).save(tmp_path / "large.png")
    Image.new("RGB", (5, 9), (7, 7, 7)).save(tmp_path / "tall.png")
    data = Pictures(name=str(tmp_path), train="train+test")
    assert data.spec().made.shape == (4, 4, 3) == made(data.arrays("train")).shape[1:]
    told = list(data.understood())[-1]
    assert "pictures of 3 sizes, from 4x6 to 20x30 (H x W): all are scaled and cut to 4x4" in told
    assert "--set data.size=N" in told
    asked = Pictures(name=str(tmp_path), size=8)
    assert asked.spec().made.shape == (8, 8, 3) and "sizes" not in " ".join(asked.understood())


def test_a_folders_own_validation_split_is_used_where_something_asks_for_one(tmp_path):
    for split, count in (("Train", 5), ("val", 4), ("TEST", 3)):
        (tmp_path / split).mkdir()
        folder_of(tmp_path / split, count)
    data = Pictures(name=str(tmp_path)).with_validation()
    assert [len(made(data.arrays(split))) for split in ("train", "validation", "test")] == [5, 4, 3]
    assert {split: told["examples"] for split, told in data.split_digests().items()} == {
        "train": 5,
        "validation": 4,
        "test": 3,
    }
    assert len(made(Pictures(name=str(tmp_path), validation="train[:40%]").arrays("validation"))) == 2


def test_a_class_folder_more_or_less_shifts_no_label(tmp_path):
    """The labels are of the names in their order; what lies beside the classes has none."""
    data = Pictures(name=str(folder_of(tmp_path, 20)), train="train+test")
    Image.new("RGB", (6, 4), colour(99)).save(tmp_path / "stray.png")
    (tmp_path / "a_first_and_empty_one").mkdir()
    again = Pictures(name=str(tmp_path), train="train+test")
    assert again.class_names() == {"class": ("cats", "dogs")}
    assert same(again.arrays("train"), data.arrays("train"))


def test_bad_lines_of_captions_pass_with_their_pictures_up_to_the_number_that_is_given(tmp_path):
    folder_of(tmp_path, 6, ())
    lines = [json.dumps({"file": f"{number:03}.png", "caption": f"n {number}"}) for number in range(6)]
    lines[2], lines[4] = "{broken", lines[3]  # no JSON; a picture told of twice, so that another one is not
    (tmp_path / "captions.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\n".join(lines).encode())
    for tolerated, sentence in ((0, r"line 5: it is no"), (1, r"line 9: it tells of 003.png once more")):
        with pytest.raises(UserError, match=sentence):
            Pictures(name=str(tmp_path), train="train+test", skip_bad=tolerated).arrays("train")
    data = Pictures(name=str(tmp_path), train="train+test", skip_bad=2)
    assert sorted(numbers(made(data.arrays("train")))) == [0, 1, 3, 5] and data.bad.count == 2


def test_captions_lie_in_the_folders_of_the_splits_too(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        folder_of(tmp_path / split, 3, ())
        lines = [json.dumps({"file": f"{number:03}.png", "caption": f"{split} {number}"}) for number in range(3)]
        (tmp_path / split / "captions.jsonl").write_text("\n".join(lines))
    caption = Pictures(name=str(tmp_path)).arrays("test")["given"]["caption"]
    assert bytes(caption["value"][1][caption["mask"][1]].tolist()) == b"test 1"


def test_pictures_written_again_are_read_again(tmp_path):
    def shown() -> list[int]:
        return numbers(made(Pictures(name=str(tmp_path), train="train+test").arrays("train")))

    folder_of(tmp_path, 3, ())
    assert shown() == [0, 1, 2]
    Image.new("RGB", (6, 4), colour(50)).save(tmp_path / "001.png")
    assert shown() == [0, 50, 2]
