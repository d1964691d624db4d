"""What goes wrong goes well: one sentence that names the mend, exit code 2, and the run folder whole."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import shutil
import subprocess
import sys

import pytest

from jaxgen.commands.describe import describe
from jaxgen.running.command_line import Changes
from tests.commands.command import CONFIGS, ROOT, here, jaxgen, told, train_small

RNN, GAN = "configs/rnn/digits.py", "configs/gan/digits.py"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("task.network.widht=64", "did you mean 'width'"),
        ("task.network.width=wide", "task.network.width"),
        ("steps=0", "steps is 0; give at least 1"),
        ("steps", "write FIELD=VALUE"),
        ("every.log=0", "every.log is 0"),
        ("data.name=digit", "did you mean 'digits'"),
        ("optimisers.model.learning_rate=fast", "optimisers.model.learning_rate"),
    ],
)
def test_a_mistyped_setting(setting, sentence, tmp_path):
    said = told(here("train", "--config", RNN, "--workdir", tmp_path / "run", "--set", setting))
    assert sentence in said
    assert not (tmp_path / "run").exists()  # refused before anything is made


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no experiment file"),
        ("def experiment(:\n", "line 1 is not Python"),
        ("def experimant():\n    return 1\n", "has no function experiment()"),
        ("def experiment():\n    return 1\n", "it must return an Experiment"),
        ("def experiment():\n    return 1 / 0\n", "line 2 raises ZeroDivisionError"),
    ],
    ids=["missing", "syntax", "nameless", "other", "raises"],
)
def test_a_config_file_that_cannot_serve(content, sentence, tmp_path):
    config = tmp_path / "config.py"
    if content is not None:
        config.write_text(content)
    assert sentence in told(here("train", "--config", config, "--workdir", tmp_path / "run"))


def test_a_missing_config_names_the_nearest():
    assert "configs/gan/digits.py" in told(here("describe", "--config", "configs/gan/digts.py"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--mesh", "data=64"], "wants 64 devices"),
        (["--mesh", "dat=2"], "did you mean 'data'"),
        (["--mesh", "data=two"], "give each axis a size of at least 1"),
        (["--mesh", "data=2", "--set", "data.batch_size=15"], "cannot be cut into"),
        (["--parallel", "pmap", "--mesh", "fsdp=2"], "use --parallel jit"),
        (["--parallel", "pmap", "--mesh", "tensor=2"], "use --parallel jit"),
    ],
)
def test_a_mesh_that_does_not_fit(options, sentence, tmp_path):
    assert sentence in told(here("train", "--config", RNN, "--workdir", tmp_path / "run", *options))


def test_a_pattern_that_matches_nothing(tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        "import dataclasses, runpy\n"
        "from jaxgen.core.masks import Matching\n"
        f"def experiment():\n    whole = runpy.run_path({str(ROOT / RNN)!r})['experiment']()\n"
        "    return dataclasses.replace(whole, trainable=Matching('haed'))\n"
    )
    assert "the pattern 'haed' matches no parameter" in told(here("describe", "--config", config))


def test_a_workdir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    said = told(here(*train_small(RNN, tmp_path / "file" / "run")))
    assert "give another --workdir" in said and (tmp_path / "file").read_text() == "mine"


def test_what_is_no_run_cannot_be_looked_at(tmp_path):
    for verb, more in (("sample", ()), ("evaluate", ()), ("score", ("x.png",))):
        assert "is no run" in told(here(verb, "--workdir", tmp_path, *more))
    assert "is no run folder" in told(jaxgen("report", "--workdir", tmp_path))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small finished GAN run."""
    run = tmp_path_factory.mktemp("gan") / "run"
    process = jaxgen(*train_small(GAN, run, "evaluate.examples=60"))
    assert process.returncode == 0, process.stderr
    return run


def test_a_folder_of_another_experiment_is_refused_and_left_alone(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    said = told(here(*train_small(GAN, run, "evaluate.examples=60", "seed=5")))
    assert "belongs to another experiment" in said and "seed: 0 -> 5" in said
    assert "belongs to another experiment" in told(here(*train_small(RNN, run)))
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sample", "--given", "11"], "there is no class '11'; did you mean '1'?"),
        (["sample", "--given", "Makefile"], "there is no class "),
        (["sample", "--set", "task.generator.width=8"], "was fixed when the run was trained"),
        (["sample", "--set", "task.sampler.truncaton=2"], "did you mean 'truncation'"),
        (["sample", "--set", "task.sampler.truncation=-1"], "truncation is -1.0; give 0 or more"),
        (["evaluate", "--set", "evaluate.examples=0"], "evaluate.examples is 0"),
        (["evaluate", "--split", "validation"], "has no validation split"),
        (["evaluate", "--sweep", "task.sampler.truncation=1"], "and two values or more"),
        (["evaluate", "--sweep", "task.gamma=1,2"], "give a field of task.sampler"),
        (["evaluate", "--sweep", "task.sampler.truncation=1,-1"], "truncation is -1.0; give 0 or more"),
        (["evaluate", "--sweep", "task.sampler.truncation=1,2", "--out", "/no/such/x.html"], "give another --out"),
        (["evaluate", "--out", "x.html"], "--out is the page of a sweep"),
        (["sample", "--count", "0"], "--count is 0"),
        (["sample", "--out", "/no/such/folder/x.png"], "give another --out"),
        (["sample", "--out", "x.jpg"], "this is a .png file; end --out in .png"),
        (["score", "nothing.png"], "there is no file nothing.png"),
        (["score", "docs/samples.png", "--out", "docs/samples.png"], "which is never overwritten; give another --out"),
        (["score", "docs/samples.png", "--out", "/no/such/x.csv"], "give another --out"),
        (["restore", "--degradation", "denoise", "docs/samples.png", "--out", "x.png"], "restores no pictures"),
        (["score", "Makefile"], "Makefile: no picture can be read from it"),
        (["score", "Makefile", "--given", "1", "--given", "2"], "1 examples and 2 given"),
    ],
)
def test_a_mistake_in_looking_at_a_run(run, arguments, sentence):
    verb, *more = arguments
    assert sentence in told(here(verb, "--workdir", run, *more))


def test_sample_evaluate_score_and_report_of_a_run(run, tmp_path):
    out = tmp_path / "seven.png"
    process = jaxgen("sample", "--workdir", run, "--given", "7", "--out", out)
    assert process.returncode == 0 and out.read_bytes().startswith(b"\x89PNG")
    process = here("score", "--workdir", run, out, "--given", "7")
    assert 0 < json.loads(process.stdout)["probability_real"] < 1
    page = tmp_path / "sweep.html"
    process = here("evaluate", "--workdir", run, "--sweep", "task.sampler.truncation=0.5,1", "--out", page)
    assert process.returncode == 0, process.stderr
    half, whole = map(json.loads, process.stdout.splitlines())
    assert page.read_text().count("<svg") > 3
    assert "recognised_fraction" not in (run / "summary.json").read_text()  # they are not the run's own figures
    process = here("evaluate", "--workdir", run)
    assert process.returncode == 0, process.stderr
    figures = json.loads(process.stdout.splitlines()[-1])
    assert (figures["split"], figures["seed"], figures["examples"]) == ("test", 0, 60)
    assert 0 <= figures["recognised_fraction"] <= 1
    same = {name: value for name, value in figures.items() if name != "samples_per_second"}
    assert {"task.sampler.truncation": 1.0, **same}.items() <= whole.items()
    assert half["frechet_distance[pixels]"] != whole["frechet_distance[pixels]"]
    page = tmp_path / "page.html"
    assert jaxgen("report", "--workdir", run, "--out", page).returncode == 0
    assert "real digits" in page.read_text()


def test_a_run_is_sampled_wherever_it_lies_and_without_a_right_to_write(run, tmp_path):
    """Moved, read-only, and asked from another folder: what it needs of its data lies in it."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    (moved / "samples").rename(tmp_path / "samples")
    (moved / "samples").symlink_to("/proc/self")  # what a disk that may only be read answers
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jaxgen.cli", "sample", "--workdir", str(moved), "--given", "-", "--out", "x.png"]
    process = subprocess.run(command, cwd=tmp_path, env=environment, input="3\n", capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "give another --out" in told(jaxgen("sample", "--workdir", moved))


def test_a_prompt_is_continued_and_an_empty_one_refused(tmp_path):
    text = "configs/rnn/python_docs.py"
    process = jaxgen(*train_small(text, tmp_path / "run", "steps=6"))
    assert process.returncode == 0, process.stderr
    asked = ["sample", "--workdir", tmp_path / "run", "--given"]
    process = here(*asked, "The string", "A", "--count", "2", "--set", "task.sampler.top_p=0.9")
    assert process.returncode == 0, process.stderr
    samples = process.stdout.split("\n\n――――――――\n\n")
    assert len(samples) == 4 and [sample.startswith("The string") for sample in samples] == [True, False] * 2
    assert "the text is empty" in told(here(*asked, ""))
    assert "does not occur in the data" in told(here(*asked, "\N{SNOWMAN}"))


def test_a_disk_that_is_full_while_saving(tmp_path):
    """A small file system of its own, all but full while the run saves; needs the right to mount one."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mount], capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        (mount / "ballast").write_bytes(b"x" * (free - 100_000))  # room for the logs, not for the checkpoints
        said = jaxgen(*train_small(RNN, mount / "run"))
        assert said.returncode == 2 and "Traceback" not in said.stderr, said.stderr
        assert "make room" in said.stderr
        (mount / "ballast").unlink()
        process = jaxgen(*train_small(RNN, mount / "run"))
        assert process.returncode == 0, process.stderr
        assert len((mount / "run" / "metrics.jsonl").read_text().splitlines()) == 12  # ten of training, two of the test
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_says_what_it_is(config):
    text = (ROOT / config).read_text()
    assert len(text.splitlines()) <= 60
    docstring = text.split('"""')[1]
    for word in ("jaxgen train --config " + config, "Expect", "cores"):
        assert word in docstring, f"{config} does not say {word!r}"


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_can_be_described(config, capsys):
    assert describe(str(ROOT / config), Changes()) == 0  # a process for each would start JAX as often
    assert "parameters" in capsys.readouterr().out


def test_describe_as_a_command():
    process = jaxgen("describe", "--config", RNN)
    assert process.returncode == 0 and "parameters" in process.stdout, process.stderr


def test_an_unexpected_failure_leaves_its_traceback_in_the_run(tmp_path):
    lines = (
        "from jaxgen import cli",
        "from jaxgen.running.trainer import Trainer",
        "Trainer.run = lambda *_: 1 / 0",
        "cli.main()",
    )
    code = "\n".join(lines)
    arguments = [sys.executable, "-c", code, *train_small(RNN, tmp_path / "run")]
    process = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 1 and "ZeroDivisionError" in process.stderr
    assert "Traceback" in (tmp_path / "run" / "error.log").read_text()
