"""Recordings of the user's and of TFDS are read as they were recorded; what is wrong with one is told by its place."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import wave
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.data.residence import Residence
from jaxgen.data.speech import Sounds, Speech
from jaxgen.data.surroundings import Surroundings
from jaxgen.errors import UserError
from jaxgen.types import Framing, Label, Spec, Wave
from tests.data.batches import batch_at, given, made, same, types, words_of

RATE = 8000


def samples_of(number: int) -> np.ndarray:
    """[100 + number] int16 that tell their number."""
    return (np.arange(100 + number) * 7 + 100 * number).astype(np.int16)


def folder_of(folder: Path, told: list[str], rate: int = RATE) -> Path:
    lines = []
    for number, words in enumerate(told):
        (folder / "wavs").mkdir(parents=True, exist_ok=True)
        wavfile.write(folder / "wavs" / f"{number}.wav", rate, samples_of(number))
        lines.append(f"wavs/{number}.wav\t{words}")
    (folder / "transcripts.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def wave_of(arrays: dict) -> dict[str, np.ndarray]:
    """Of speech the wave is given, of sounds it is made."""
    return arrays["given"].get("wave", arrays["made"])


def numbers(arrays: dict) -> list[int]:
    """The recordings' numbers, from their lengths; their samples are looked at too."""
    wave = wave_of(arrays)
    found = [int(length) - 100 for length in wave["length"]]
    for row, number in zip(wave["value"], found, strict=True):
        assert np.array_equal(row[: 100 + number], samples_of(number)) and not row[100 + number :].any()
    return found


def test_words_come_with_their_waves_and_one_in_ten_is_held_out(tmp_path):
    told = [f"n°{number}" for number in range(20)]
    data = Speech(name=str(folder_of(tmp_path, told)), batch_size=4)
    spec = data.spec()
    assert dict(spec.given)["wave"] == Wave(119, RATE)
    assert (spec.made.length, spec.made.framing) == (5, Framing.TARGET)
    seen = {}
    for split in ("train", "test"):
        arrays = data.arrays(split)
        seen[split] = numbers(arrays)
        assert [words_of(data, tokens) for tokens in made(arrays)] == [told[number] for number in seen[split]]
        assert arrays["made"]["mask"].sum(axis=1).tolist() == [len(told[number]) + 1 for number in seen[split]]
        assert (made(arrays)[:, 0] == spec.made.vocabulary).all() and made(arrays)[:, 1:].max() < spec.made.vocabulary
    assert seen["test"] and sorted(seen["train"] + seen["test"]) == list(range(20))
    halves = Speech(name=str(tmp_path), train="train[:50%]", test="train[50%:]")
    assert numbers(halves.arrays("train")) + numbers(halves.arrays("test")) == seen["train"]
    kept = data.with_vocabulary(json.loads(json.dumps(data.vocabulary_document())))
    assert kept.spec() == spec and kept.text_digest() == data.text_digest()


def test_texts_that_ctc_cannot_tell_in_their_recordings_are_named(tmp_path):
    told = ["ab", "aab", "abc", "abcd"] + ["a"] * 40
    data = Speech(name=str(folder_of(tmp_path, told)))
    trained = {recording.told for recording, _ in data.good("train")}
    (sentence,) = data.too_long(lambda samples: 3)
    assert ("(4 tokens, 3 places)" in sentence) and sentence.startswith(f"{len({'aab', 'abcd'} & trained)} of ")
    assert not list(data.too_long(lambda samples: 4))


def test_a_recording_is_in_one_split_however_its_lines_write_its_path(tmp_path):
    folder = folder_of(tmp_path / "speech", ["a b"] * 40)
    listed = folder / "transcripts.tsv"
    lines = listed.read_text().splitlines()
    others = [line.replace("wavs/", "./wavs/../wavs/") for line in lines]
    listed.write_text("\n".join(lines + others) + "\n")
    data = Speech(str(folder))
    train, test = (set(numbers(data.arrays(split))) for split in ("train", "test"))
    assert train and test and not train & test and train | test == set(range(40))


def test_a_folder_may_say_itself_what_is_held_out(tmp_path):
    folder_of(tmp_path / "train", ["0", "1", "1"]), folder_of(tmp_path / "test", ["1"])
    data = Sounds(name=str(tmp_path), classes=2)
    assert given(data.arrays("train")).tolist() == [0, 1, 1] and given(data.arrays("test")).tolist() == [1]
    assert data.spec() == Spec(Wave(102, RATE), (("class", Label(2)),))


def test_batches_are_alike_from_device_and_host_and_as_the_spec_says(tmp_path):
    name = str(folder_of(tmp_path, ["0", "1", "2"] * 4))
    device, host = (
        Sounds(name=name, classes=3, batch_size=5, residence=Residence[lives]) for lives in ("DEVICE", "HOST")
    )
    key, shapes = jax.random.key(1), device.spec().batch(5)
    inside = jax.jit(lambda source, number: source.next(key, None, number, np.arange(5))[0])
    for number in range(3):
        batch, other = inside(device.source(), np.uint32(number)), batch_at(host.source(), key, number)
        assert types(batch) == types(shapes) and same(batch, other)
        for row in range(5):
            samples = samples_of(int(batch["made"]["length"][row]) - 100)
            assert np.array_equal(made(batch)[row, : len(samples)], samples.astype(np.float32) / 32768)
    tested = device.evaluation("test")
    assert made(tested).dtype == np.float32 and tested["weight"].sum() == 1
    assert "11 recordings, 0.00 h at 8000 Hz" in next(device.remarks(device.source()))


def write_24_bit(file: Path, samples: np.ndarray) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(3)
        out.setframerate(RATE)
        out.writeframes(b"".join(int(value).to_bytes(3, "little", signed=True) for value in samples.reshape(-1)))


@pytest.mark.parametrize("width", ["uint8", "int16", "24 bits", "int32", "float32", "float64"])
def test_every_width_is_the_same_sound_and_channels_are_mixed(width, tmp_path):
    levels = np.array([[-128, -128], [-64, 0], [0, 0], [32, 96], [127, 127]])  # of 128, two channels
    file = tmp_path / "a.wav"
    if width == "24 bits":
        write_24_bit(file, levels * 2**16)
    elif width.startswith("float"):
        wavfile.write(file, RATE, (levels / 128).astype(width))
    else:
        bits = 8 * np.dtype(width).itemsize
        wavfile.write(file, RATE, (levels * 2 ** (bits - 8) + (128 if width == "uint8" else 0)).astype(width))
    (tmp_path / "transcripts.tsv").write_text("a.wav\thello\na.wav\thello\n")
    wave = given(Speech(name=str(tmp_path)).arrays("train"), "wave")
    assert wave.tolist() == [[256 * level for level in (-128, -32, 0, 64, 127)]]


def test_floats_beyond_full_scale_are_cut(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, np.array([-1.5, 0.5, 1.5], np.float32))
    (tmp_path / "transcripts.tsv").write_text("a.wav\thello\na.wav\thello\n")
    assert given(Speech(name=str(tmp_path)).arrays("train"), "wave").tolist() == [[-32768, 16384, 32767]]


def test_another_rate_is_converted_when_that_is_asked_for(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    wavfile.write(tmp_path / "a.wav", 16_000, tone.astype(np.float32))
    (tmp_path / "transcripts.tsv").write_text("a.wav\thello\na.wav\thello\n")
    data = Speech(name=str(tmp_path), rate=RATE)
    found = given(data.arrays("train"), "wave")[0] / 32768
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert dict(data.spec().given)["wave"].rate == RATE and found.shape == expected.shape
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=2e-3)  # the filter's own ends aside
    assert "2 recordings of 16000 Hz are converted to 8000" in list(data.remarks(data.source()))


def test_what_the_lower_rate_cannot_hold_is_filtered_out(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000)  # above half of 8000 Hz
    wavfile.write(tmp_path / "a.wav", 16_000, tone.astype(np.float32))
    (tmp_path / "transcripts.tsv").write_text("a.wav\thello\na.wav\thello\n")
    found = given(Speech(name=str(tmp_path), rate=RATE).arrays("train"), "wave")[0] / 32768
    assert np.abs(found[200:-200]).max() < 1e-3


def other_rate(folder: Path) -> str:
    wavfile.write(folder / "wavs" / "3.wav", 22_050, samples_of(3))
    return r"wavs/3.wav \(.*transcripts.tsv line 4\): its rate is 22050 Hz and not 8000 \(data.resample=true"


def truncated(folder: Path) -> str:
    file = folder / "wavs" / "3.wav"
    file.write_bytes(file.read_bytes()[:-20])
    return (
        r"wavs/3.wav: no whole wav can be read from it \(it is truncated: its header says 206 bytes of sound, and 186"
    )


def cut_in_a_sample(folder: Path) -> str:
    file = folder / "wavs" / "3.wav"
    file.write_bytes(file.read_bytes()[:-21])
    return r"wavs/3.wav: no whole wav can be read from it"


def cut_in_its_header(folder: Path) -> str:
    file = folder / "wavs" / "3.wav"
    file.write_bytes(file.read_bytes()[:30])
    return r"wavs/3.wav: no whole wav can be read from it"


def no_bytes(folder: Path) -> str:
    (folder / "wavs" / "3.wav").write_bytes(b"")
    return r"wavs/3.wav: no whole wav can be read from it \(the file is empty\)"


def no_wav(folder: Path) -> str:
    (folder / "wavs" / "3.wav").write_text("hello")
    return r"wavs/3.wav: no whole wav can be read from it"


def no_samples(folder: Path) -> str:
    wavfile.write(folder / "wavs" / "3.wav", RATE, np.zeros(0, np.int16))
    return r"wavs/3.wav \(.*line 4\): it holds no sample"


def no_number(folder: Path) -> str:
    wavfile.write(folder / "wavs" / "3.wav", RATE, np.array([0.0, np.nan], np.float32))
    return r"wavs/3.wav \(.*line 4\): a sample of it is no finite number"


def not_there(folder: Path) -> str:
    (folder / "wavs" / "3.wav").unlink()
    return r"transcripts.tsv line 4: it names wavs/3.wav, which is not there"


def changed_line(line: bytes):
    def spoil(folder: Path) -> None:
        lines = (folder / "transcripts.tsv").read_bytes().split(b"\n")
        (folder / "transcripts.tsv").write_bytes(b"\n".join([*lines[:3], line, *lines[4:]]))

    return spoil


def three_columns(folder: Path) -> str:
    changed_line(b"wavs/3.wav\t1\tmore")(folder)
    return "transcripts.tsv line 4: it is not FILE tab TEXT"


def one_column(folder: Path) -> str:
    changed_line(b"wavs/3.wav 1")(folder)
    return "transcripts.tsv line 4: it is not FILE tab TEXT"


def no_words(folder: Path) -> str:
    changed_line(b"wavs/3.wav\t ")(folder)
    return "transcripts.tsv line 4: it is not FILE tab TEXT"


def no_utf8(folder: Path) -> str:
    changed_line(b"wavs/3.wav\t\xff")(folder)
    return "transcripts.tsv line 4: byte 12 is no UTF-8"


def no_class(folder: Path) -> str:
    changed_line(b"wavs/3.wav\t2")(folder)
    return r"wavs/3.wav \(.*line 4\): its label is '2', and there are the 2 classes 0 to 1"


FAULTS = [other_rate, truncated, cut_in_a_sample, cut_in_its_header, no_bytes, no_wav, no_samples, no_number]
FAULTS += [not_there, three_columns, one_column, no_words, no_utf8, no_class]


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_bad_recording_is_refused_by_its_place_or_left_out_and_counted(spoil, tmp_path):
    sentence = spoil(folder_of(tmp_path, ["0", "1"] * 5))

    def data(skip_bad: int) -> Sounds:
        return Sounds(str(tmp_path), classes=2, rate=RATE, resample=False, train="train+test", skip_bad=skip_bad)

    with pytest.raises(UserError, match=sentence):
        data(0).arrays("train")
    tolerant = data(1)
    assert sorted(numbers(tolerant.arrays("train"))) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert tolerant.bad.count == 1 and "skipped 1 bad example" in list(tolerant.remarks(tolerant.source()))[-1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"seconds": 105 / RATE}, r"it lasts 0.013 s, longer than 0.013 s \(data.seconds\)"),
        ({"train": "train[:0]"}, r"the split 'train\[:0\]' of .* is empty"),
        ({"test": "dev"}, "has no split 'dev', only train, test"),
        ({"rate": 16_000, "resample": False, "skip_bad": 100}, "no recording of the split 'train' .* can be used"),
        ({"rate": 0}, "data.rate is 0"),
        ({"residence": Residence.DISK}, "recordings are read into memory"),
        ({"batch_size": 0}, "batch_size is 0; give at least 1"),
    ],
)
def test_settings_that_cannot_be(settings, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        Speech(name=str(folder_of(tmp_path, ["a"] * 10)), **settings).spec()


def test_a_folder_without_transcripts(tmp_path):
    with pytest.raises(UserError, match=r"has no transcripts.tsv; write one"):
        Speech(name=str(tmp_path)).spec()
    (tmp_path / "transcripts.tsv").write_text("")
    with pytest.raises(UserError, match="names no recording"):
        Speech(name=str(tmp_path)).spec()


def prepared_set(
    root: Path, audio: dict, count: int = 10, split: str = "train", file_format: str = "array_record"
) -> Path:
    """A set as TFDS leaves it on disk: `toy` 1.0.0 with audio, a class and words."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    folder = root / "toy" / "1.0.0"
    folder.mkdir(parents=True)
    kinds = {"audio": {"audio": audio}, "label": {"classLabel": {"numClasses": "3"}}, "text": {"text": {}}}
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": kinds}}))
    info = {"fileFormat": file_format, "splits": [{"name": split}]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    writer = ArrayRecordWriter(str(folder / f"toy-{split}.array_record-00000-of-00001"), "group_size:1")
    for number in range(count):
        example = tf_example_pb2.Example()
        example.features.feature["audio"].int64_list.value.extend(samples_of(number).tolist())
        example.features.feature["label"].int64_list.value.append(number % 3)
        example.features.feature["text"].bytes_list.value.append(f"n°{number}".encode())
        writer.write(example.SerializeToString())
    writer.close()
    return root


AUDIO = {"dtype": "int64", "encoding": "NONE", "sampleRate": "8000", "shape": {"dimensions": ["-1"]}}


def test_a_prepared_set_is_read_without_tensorflow(tmp_path):
    root = str(prepared_set(tmp_path, AUDIO))
    sounds, speech = Sounds(name="toy", data_dir=root), Speech(name="toy:1.0.0", data_dir=root)
    found = sounds.arrays("train")
    assert given(found).tolist() == [number % 3 for number in numbers(found)]
    assert sorted(numbers(found) + numbers(sounds.arrays("test"))) == list(range(10))
    assert dict(sounds.spec().given)["class"] == Label(3) and sounds.spec().made.rate == RATE
    words = speech.arrays("train")
    assert [words_of(speech, tokens) for tokens in made(words)] == [f"n°{number}" for number in numbers(words)]


@pytest.mark.parametrize(
    ("change", "name", "sentence"),
    [
        ({"audio": AUDIO | {"lazyDecode": True}}, "toy", "only TensorFlow can read that"),
        ({"audio": AUDIO, "file_format": "tfrecord"}, "toy", "without random access"),
        ({"audio": AUDIO}, "spoken_digits", "nor a set that TFDS knows; did you mean 'spoken_digit'"),
        ({"audio": AUDIO}, "speech_commands", r"not prepared in .*install jaxgen\[tensorflow\] and run"),
    ],
)
def test_a_prepared_set_that_cannot_be_read_is_one_sentence(change, name, sentence, tmp_path):
    root = prepared_set(tmp_path, **change)
    with pytest.raises(UserError, match=sentence):
        Sounds(name=name, data_dir=str(root)).spec()


prepared = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets") / "spoken_digit"


@pytest.mark.skipif(not prepared.is_dir(), reason="no prepared spoken_digit in TFDS_DATA_DIR")
def test_spoken_digit_is_cut_as_its_authors_say():
    data = Sounds()
    train, test = data.arrays("train"), data.arrays("test")
    assert data.spec().made.rate == 8000 and dict(data.spec().given)["class"] == Label(10)
    assert np.bincount(given(train)).tolist() == [270] * 10 and np.bincount(given(test)).tolist() == [30] * 10
    assert (train["made"]["length"] > 0).all() and made(train).min() < -20_000


def test_one_very_long_recording_is_told_before_all_are_padded_to_it(tmp_path, monkeypatch):
    folder_of(tmp_path, ["a"] * 10)
    wavfile.write(tmp_path / "wavs" / "3.wav", RATE, np.zeros(60 * RATE, np.int16))
    monkeypatch.setattr("jaxgen.data.recordings.host_memory", lambda: 9e6)
    with pytest.raises(UserError, match=r"wavs/3.wav .* lasts 60 s, and 10 recordings padded .* set data.seconds"):
        Speech(name=str(tmp_path)).spec()
    assert Speech(name=str(tmp_path), seconds=1.0, skip_bad=1, test="train[:1]", train="train+test").spec()


def test_words_that_a_kept_vocabulary_lacks_are_told_by_their_recording(tmp_path):
    folder_of(tmp_path, ["abc"] * 10)
    document = Speech(name=str(tmp_path)).vocabulary_document()
    changed_line(b"wavs/3.wav\tabd")(tmp_path)
    with pytest.raises(UserError, match=r"wavs/3.wav .*: its words are not in the run's vocabulary \(.*'d'"):
        Speech(name=str(tmp_path), train="train+test").with_vocabulary(document).spec()
    data = Speech(name=str(tmp_path), train="train+test", skip_bad=1).with_vocabulary(document)
    assert sorted(numbers(data.arrays("train"))) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_silence_is_a_recording_like_any_other_and_stays_finite(tmp_path):
    folder_of(tmp_path, ["a"] * 10)
    for number in range(10):
        wavfile.write(tmp_path / "wavs" / f"{number}.wav", RATE, np.zeros(4000, np.int16))
    data = Speech(name=str(tmp_path), batch_size=2, surroundings=Surroundings(), buckets=(0.2,))
    batch = batch_at(data.source(), jax.random.key(0), 0)
    assert not np.asarray(data.augment(batch, jax.random.key(1))["given"]["wave"]["value"]).any()
