"""A modality that no file of jaxgen's knows trains, resumes, samples, is evaluated and reported."""
# SPDX-License-Identifier: Apache-2.0

import json

import numpy as np
import pytest

from tests.commands.command import ROOT, here, jaxgen, told

CONFIG = str(ROOT / "docs/examples/own_modality.py")
TRUE = np.array([[1.0, -2.0], [0.5, 3.0]])  # as the example has it


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors") / "run"
    done = jaxgen("train", "--config", CONFIG, "--workdir", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_learns_what_there_is_to_learn(run):
    (line,) = [line for line in lines(run) if line["split"] == "test" and line["step"] == 200]
    assert line["squared_error"] < 1e-3


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_goes_on_to_the_same_end(run, tmp_path):
    """A run of 100 steps that are made 200 is no resumed one; a killed one is: its last checkpoint is taken away."""
    import shutil

    halved = tmp_path / "run"
    shutil.copytree(run, halved)
    shutil.rmtree(halved / "checkpoints" / "200")
    done = jaxgen("train", "--config", CONFIG, "--workdir", halved)
    assert done.returncode == 0 and "going on from step 150" in done.stderr, done.stderr
    assert lines(halved) == lines(run)


def test_it_samples_what_was_given(run, tmp_path):
    (tmp_path / "input").write_text("0,1\n")
    asked = ["sample", "--workdir", run, "--config", CONFIG, "--given", "1,0", tmp_path / "input"]
    done = here(*asked)
    assert done.returncode == 0, done.stderr
    given, made = zip(*(line.split(" -> ") for line in done.stdout.strip().splitlines()), strict=True)
    assert given == ("1.000,0.000", "0.000,1.000")
    np.testing.assert_allclose([[float(n) for n in row.split(",")] for row in made], TRUE, atol=0.02)
    assert "is no vector of 2 numbers" in told(here(*asked[:-2], "1,2,3"))
    assert "made for input" in told(here("sample", "--workdir", run, "--config", CONFIG))


def test_it_is_evaluated_and_reported(run):
    done = here("evaluate", "--workdir", run, "--config", CONFIG)
    assert json.loads(done.stdout.splitlines()[-1])["squared_error"] < 1e-3
    done = here("report", "--workdir", run)
    assert done.returncode == 0, done.stderr
    page = (run / "report.html").read_text()
    assert "squared error" in page and " -&gt; " in page
