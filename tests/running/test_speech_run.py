"""A run that hears: its page plays what was heard, beside what was made of it; what is spoken late shows progress."""
# SPDX-License-Identifier: Apache-2.0

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.commands.report import report
from jaxgen.data.spoken_numbers import SpokenNumbers
from jaxgen.experiment import Every, Experiment
from jaxgen.families.ctc_task import CTC
from jaxgen.families.rnn.recogniser import RecurrentRecogniser
from jaxgen.nn.stems import SpeechStem
from jaxgen.reporting import terminal
from jaxgen.running.bounded import Stopped
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.train_run import train_run
from jaxgen.training.optimisers import AdamW

pytest.importorskip("num2words", reason="needs the extra jaxgen[speech]")
pytest.importorskip("espeakng_loader", reason="needs the extra jaxgen[speech]")


def experiment(cache: Path) -> Experiment:
    data = SpokenNumbers(seconds=3.0, buckets=(), utterances=12, tested=6, batch_size=4, cache=str(cache))
    network = RecurrentRecogniser(width=8, layers=1, bidirectional=False, stem=SpeechStem(mels=8, channels=8))
    every = Every(log=1, evaluate=2, sample=2, checkpoint=2)
    return Experiment(CTC(network), data, {"likelihood": AdamW(1e-2)}, steps=2, every=every)


def test_recordings_are_played_beside_their_texts_and_speaking_shows_progress(tmp_path, capsys, monkeypatch):
    run, cache = tmp_path / "run", tmp_path / "spoken"
    chosen = experiment(cache)
    train_run(chosen, run, lambda: False)
    heard = [(one.told, samples) for one, samples in chosen.data.good("test")][:4]

    assert report([str(run)], str(tmp_path / "page.html")) == 0
    page = (tmp_path / "page.html").read_text()
    played = re.findall(r'<li><audio [^>]*src="data:audio/wav;base64,([^"]+)"></audio><pre>([^<]*)</pre>', page)
    assert len(played) == len(heard) == 4
    for (content, text), (told, samples) in zip(played, heard, strict=True):
        rate, found = wavfile.read(io.BytesIO(base64.b64decode(content)))
        assert rate == 8000 and found.dtype == np.int16 and np.array_equal(found, samples)
        first, *_, last = text.split("\n")
        assert first == f"recording of {len(samples) / 8000:.2f} s" and last == f"reference: {told}"

    shutil.rmtree(cache)
    with pytest.raises(Stopped):
        evaluate_run(run, stopped=lambda: True)
    assert not cache.exists()
    monkeypatch.setattr(terminal, "SECONDS_BEFORE_WORK", 0.0)
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0.0)
    capsys.readouterr()
    assert evaluate_run(run)["held_out_examples"] == len(chosen.data.good("test"))
    assert "speaking spoken-numbers (en, test): 6/6" in capsys.readouterr().err
    assert len(list(cache.iterdir())) == 1  # what a look at the test needs, and no more
