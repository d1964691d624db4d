"""A TFDS set is read by its name, and an unknown or unprepared one is one sentence."""
# SPDX-License-Identifier: Apache-2.0

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Drawing

from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.types import Image, Label, Spec
from tests.data.batches import given, made

prepared = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets") / "mnist"


@pytest.mark.skipif(not prepared.is_dir(), reason="no prepared mnist in TFDS_DATA_DIR")
def test_mnist_is_read_without_tensorflow():
    data = Pictures(name="mnist")
    assert data.spec() == Spec(Image(28, 28, 1, 256), (("class", Label(10)),))
    arrays = data.arrays("test")
    assert made(arrays).shape == (10_000, 28, 28, 1) and given(arrays)[:5].max() < 10
    assert made(arrays).mean() == pytest.approx(33.79, abs=0.01)  # MNIST's test mean, a known constant


def red(number: int) -> Drawing.Image:
    return Drawing.new("RGB", (4, 4), (number, 0, 0))


def prepared_set(root: Path, sizes: dict[str, int], drawn=red, channels: int = 3, kind=np.uint8) -> str:
    """A set as TFDS leaves it on disk: `toy` 1.0.0, each picture's red its number, of three classes."""
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    folder = root / "toy" / "1.0.0"
    folder.mkdir(parents=True)
    features = {
        "image": tfds.features.Image(shape=(4, 4, channels), dtype=kind),
        "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
    }
    tfds.features.FeaturesDict(features).save_config(str(folder))
    pattern = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [
        {"name": split, "shardLengths": [str(size)], "numBytes": "1", "filepathTemplate": pattern}
        for split, size in sizes.items()
    ]
    info = {"name": "toy", "version": "1.0.0", "fileFormat": "array_record", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for split, size in sizes.items():
        writer = ArrayRecordWriter(str(folder / f"toy-{split}.array_record-00000-of-00001"), "group_size:1")
        for number in range(size):
            png, example = io.BytesIO(), tf_example_pb2.Example()
            drawn(number).save(png, "PNG")
            example.features.feature["image"].bytes_list.value.append(png.getvalue())
            example.features.feature["label"].int64_list.value.append(number % 3)
            writer.write(example.SerializeToString())
        writer.close()
    return str(root)


def numbers(data: Pictures, split: str) -> list[int]:
    arrays = data.arrays(split)
    found = made(arrays)[:, 0, 0, 0].tolist()
    assert given(arrays).tolist() == [number % 3 for number in found]
    return found


def test_a_prepared_set_and_its_validation_split_are_read_without_tensorflow(tmp_path):
    root = prepared_set(tmp_path, {"train": 100, "test": 5})
    data = Pictures(name="toy", data_dir=root)
    assert data.spec() == Spec(Image(4, 4, 3, 256), (("class", Label(3)),))
    assert data.class_names() == {"class": ("a", "b", "c")}
    assert numbers(data, "train") == list(range(100)) and numbers(data, "test") == list(range(5))
    held = data.with_validation()
    train, validation = numbers(held, "train"), numbers(held, "validation")
    assert 0 < len(validation) < 25 and sorted(train + validation) == list(range(100))
    for expression in ("train[:60%]", "train[30%:]", "train[30%:]+train[:10%]"):  # fewer examples move no other one
        fewer = Pictures(name="toy", data_dir=root, train=expression)
        assert set(numbers(fewer.with_validation(), "validation")) == set(validation) & set(numbers(fewer, "train"))
    digests = held.split_digests()
    sizes = [digests[split]["examples"] for split in ("train", "validation", "test")]
    assert sizes == [len(train), len(validation), 5]
    first = held.first("validation", 2)
    assert np.array_equal(made(first)[:, 0, 0, 0], validation[:2])


def test_too_few_pictures_to_set_some_aside_are_one_sentence(tmp_path):
    data = Pictures(name="toy", data_dir=prepared_set(tmp_path, {"train": 1, "test": 5})).with_validation()
    with pytest.raises(UserError, match=r"'train' of toy has too few pictures to set some aside: \w+ is empty"):
        for split in ("train", "validation"):
            data.arrays(split)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("mnits", "neither jaxgen nor TFDS knows; did you mean 'mnist'"), ("cifar100", "is not prepared in")],
)
def test_an_unknown_or_unprepared_set(name, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        Pictures(name=name, data_dir=str(tmp_path)).spec()


def test_transparent_and_deep_pictures_become_what_all_others_are(tmp_path):
    alpha = prepared_set(
        tmp_path / "a", {"train": 3, "test": 1}, lambda n: Drawing.new("RGBA", (4, 4), (9, 9, 9, 85 * n)), 4
    )
    data = Pictures(name="toy", data_dir=alpha)
    assert data.spec().made == Image(4, 4, 3, 256)
    shown = [255 - round((255 - 9) * number / 3) for number in range(3)]
    assert np.abs(made(data.arrays("train"))[:, 0, 0, 0].astype(int) - shown).max() <= 1

    def grey(number: int) -> Drawing.Image:
        return Drawing.fromarray(np.full((4, 4), 257 * 100 * number, np.uint16))

    deep = Pictures(name="toy", data_dir=prepared_set(tmp_path / "b", {"train": 3, "test": 1}, grey, 1, np.uint16))
    assert deep.spec().made == Image(4, 4, 1, 256)
    assert made(deep.arrays("train"))[:, 0, 0, 0].tolist() == [0, 100, 200]
    scaled = Pictures(name="toy", data_dir=str(tmp_path / "b"), size=2)
    assert made(scaled.arrays("train")).shape == (3, 2, 2, 1)


def test_pictures_of_floats_are_refused_at_the_start(tmp_path):
    root = prepared_set(tmp_path, {"train": 1, "test": 1}, channels=1, kind=np.float32)
    with pytest.raises(UserError, match="toy has pictures of float32, whose range is not known; write them as PNG"):
        Pictures(name="toy", data_dir=root).spec()


def test_a_folder_hides_no_set_without_a_word(tmp_path, monkeypatch):
    root = prepared_set(tmp_path / "tfds", {"train": 4, "test": 1})
    monkeypatch.chdir(tmp_path)
    for name in ("toy", "digits", "other"):
        Path(name).mkdir()
        for number in range(3):
            red(number).save(f"{name}/{number}.png")
    data = Pictures(name="toy", data_dir=root)
    assert len(made(data.arrays("train"))) == 4
    assert list(data.understood()) == [
        "toy: the set that TFDS has prepared, and not the folder of that name here, which would be ./toy"
    ]
    digits = Pictures(name="digits")
    assert digits.content() == Pictures(name="digits").content() and "jaxgen's own set" in next(digits.understood())
    assert digits.class_names() == {"class": tuple("0123456789")}
    for name in ("./toy", "./digits", "other", str(tmp_path / "toy")):
        data = Pictures(name=name, data_dir=root, train="train+test")
        assert len(made(data.arrays("train"))) == 3 and f"{name}: no classes" in next(data.understood())


def test_an_empty_folder_called_like_a_set_is_no_riddle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()
    with pytest.raises(UserError, match=r"mnist holds no picture .*; name another folder, or prepare TFDS's mnist in"):
        Pictures(name="mnist", data_dir=str(tmp_path / "tfds")).spec()
