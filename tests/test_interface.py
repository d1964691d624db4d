"""jaxgen in Python and notebooks: what the commands do, as plain objects; threads, signals, classes of notebooks."""
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.commands.evaluate import evaluate
from jaxgen.commands.sample import sample
from jaxgen.commands.score import score
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.families.rnn.network import Cell
from tests.commands.command import ROOT

RARELY = {f"every.{name}": 1000 for name in ("log", "evaluate", "sample", "checkpoint")}
SMALL = {"task.network.width": 8, "task.network.head": 8, "data.batch_size": 32, "evaluate.examples": 64, **RARELY}
OTHERWISE = {"task.network.cell": Cell.GRU, "task.network.token_shifts": (1, 8), "start": None}
TEXT = {"task.network.width": 8, "task.network.embedding": 8, "data.batch_size": 8, "evaluate.examples": 8, **RARELY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("interface")


@pytest.fixture(scope="module")
def pictures(folder):
    experiment = load_experiment("rnn/digits", jaxgen.Experiment)
    return jaxgen.train(experiment, folder / "pictures", overrides=SMALL | OTHERWISE | {"steps": 4})


@pytest.fixture(scope="module")
def texts(folder):
    return jaxgen.train("rnn/python_docs", folder / "texts", overrides=TEXT | {"steps": 4})


def test_pictures_are_pixels_of_the_classes_in_turn(pictures, tmp_path):
    """By name, number or several; digits have 17 levels, which become the pixels that the command writes."""
    found = pictures.sample(given=[7, "3"], count=3, seed=1)
    assert found.dtype == np.uint8 and found.shape == (6, 8, 8, 1)
    assert set(np.unique(found)) <= set(np.rint(np.arange(17) * 255 / 16)) and found.max() > 16
    assert (found == pictures.sample(given=("7", 3), count=3, seed=1)).all()
    assert pictures.sample(7, count=2).shape[0] == 2 and pictures.sample(range(10)).shape[0] == 10
    file = tmp_path / "samples.png"
    assert sample(str(pictures.folder), None, [], None, ["7", "3"], 3, str(file), 1) == 0
    from PIL import Image

    drawn = np.asarray(Image.open(file).convert("LA"))[..., 0]
    assert np.isin(found, drawn).all()


def test_texts_are_strings_and_those_of_the_command(texts, capsys):
    found = texts.sample(given=["The ", "A"], seed=3)
    assert [text[:1] for text in found] == ["T", "A"] and all(isinstance(text, str) for text in found)
    sample(str(texts.folder), None, [], None, ["The ", "A"], None, None, 3)
    assert capsys.readouterr().out.removesuffix("\n").split("\n\n――――――――\n\n") == found


def test_figures_and_scores_are_those_of_the_commands(pictures, texts, capsys):
    evaluate(str(texts.folder), None, [], None, "test")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert texts.evaluate() == told and told["step"] == 4
    score(str(texts.folder), None, [], ["The text", "By "], [])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert texts.score(["The text", "By "]) == told and told[0]["log_prob_nats"] < 0
    assert texts.score("The text") == told[:1]


def test_a_run_goes_on_and_is_looked_at_otherwise(pictures, texts, folder):
    """Trained twice in one process; figures under other settings than its own do not go into its summary."""
    again = jaxgen.train("rnn/digits", pictures.folder, overrides=SMALL | OTHERWISE | {"steps": 6})
    assert (again.step, jaxgen.load(pictures.folder, checkpoint=4).step) == (6, 4)
    assert (pictures.sample(3) == jaxgen.load(pictures.folder, checkpoint=4).sample(3)).all()  # the same weights
    other = jaxgen.load(texts.folder, overrides={"task.sampler.temperature": 0.5, "evaluate.examples": 16})
    assert other.experiment.task.sampler.temperature == 0.5
    before = (texts.folder / "summary.json").read_bytes()
    assert other.evaluate()["split"] == "test"
    assert (texts.folder / "summary.json").read_bytes() == before


def test_overrides_are_words_numbers_members_and_sequences(pictures):
    network = pictures.experiment.task.network
    assert (network.cell, network.token_shifts, network.width) == (Cell.GRU, (1, 8), 8)
    assert pictures.experiment.start is None and pictures.experiment.steps == pictures.step == 4


MISTAKES = [
    (lambda run: run.sample("eleven"), "there is no class 'eleven'"),
    (lambda run: run.sample(count=0), "count is 0; give at least 1"),
    (lambda run: run.sample(seed=-1), "seed is -1; give a number"),
    (lambda run: run.score("nowhere.png"), "there is no file nowhere.png"),
    (lambda run: run.evaluate("tset"), "no split 'tset'"),
    (lambda run: jaxgen.load(run.folder / "nowhere"), "is no run: .* give another workdir"),
    (lambda run: jaxgen.load(run.folder, checkpoint=1), "checkpoint 1: there is none"),
    (lambda run: jaxgen.load(run.folder, overrides={"steps": 3}), "overrides steps=3: steps was fixed"),
    (lambda run: jaxgen.load(run.folder, experiment="gan/digits"), "was trained otherwise; give its own overrides"),
    (lambda run: run.score([[0, 1]]), "are given here, and not a list"),
    (lambda run: run.sample(count="3"), "give whole numbers"),
    (lambda run: jaxgen.train("rnn/digits", run.folder, ["steps=3"]), "give a dict such as"),
    (lambda run: jaxgen.train(None, run.folder), "give an Experiment, or a file's path or name"),
    (lambda run: jaxgen.train("rnn/digitz", run.folder), "did you mean 'rnn/digits'"),
    (lambda run: jaxgen.train("rnn/digits", run.folder, {"seed": 3, **SMALL, **OTHERWISE}), "undo: seed: 0 -> 3"),
    (lambda run: jaxgen.train("rnn/digits", run.folder, {"task.network": object()}), "task.network is a object"),
    (lambda run: jaxgen.train("rnn/digits", run.folder, {"task.netwrok.width": 3}), "did you mean 'network'"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_mistake_is_one_sentence_that_names_arguments_as_python_has_them(pictures, number):
    mistake, sentence = MISTAKES[number]
    with pytest.raises(jaxgen.UserError, match=sentence) as told:
        mistake(pictures)
    assert "--" not in str(told.value) and "\n" not in str(told.value)


def test_another_thread_trains_and_samples(folder):
    """Where no signal can be looked at."""
    found = []

    def work() -> None:
        run = jaxgen.train("rnn/digits", folder / "thread", overrides=SMALL | {"steps": 2})
        found.append((run.step, run.sample(1).shape))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(2, (1, 8, 8, 1))]


def test_samples_are_the_same_wherever_a_run_lies(pictures, tmp_path):
    """Nothing is written into it, which may be read-only."""
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(pictures.folder, moved)
    before = sorted((path, path.stat().st_mtime_ns) for path in moved.rglob("*"))
    assert (jaxgen.load(moved, checkpoint=4).sample(5, seed=2) == pictures.sample(5, seed=2)).all()
    assert sorted((path, path.stat().st_mtime_ns) for path in moved.rglob("*")) == before


SIGNALLED = """
import os, signal, sys, threading, time
import jax
jax.devices()
import jaxgen

def soon(number):
    def send():
        metrics = f"{sys.argv[1]}/metrics.jsonl"
        before = os.path.getsize(metrics) if os.path.exists(metrics) else 0
        while not os.path.exists(metrics) or os.path.getsize(metrics) == before:
            time.sleep(0.05)
        os.kill(os.getpid(), number)
    threading.Thread(target=send, daemon=True).start()

often = {name: 10**9 for name in ("steps", "every.evaluate", "every.sample", "every.checkpoint")}
often |= {"task.network.width": 8, "task.network.head": 8, "data.batch_size": 16, "every.log": 5}
soon(signal.SIGINT)
run = jaxgen.train("rnn/digits", sys.argv[1], overrides=often)
print(run.step, len(jax.devices()), run.sample(3).shape, flush=True)
soon(signal.SIGTERM)
jaxgen.train("rnn/digits", sys.argv[1], overrides=often)
print("not reached")
"""


def test_ctrl_c_saves_and_returns_and_sigterm_saves_and_ends(tmp_path):
    """In a process that has used JAX before, as a notebook's has: its devices are as they are, and that is said."""
    command = [sys.executable, "-c", SIGNALLED, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    (line,) = done.stdout.splitlines()
    step = int(line.split()[0])
    assert step > 0 and line.endswith("(1, 8, 8, 1)"), done.stderr
    assert "the same call goes on from there" in done.stderr and f"going on from step {step}" in done.stderr
    assert done.returncode == -15, done.stderr
    newest = max(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdecimal())
    assert newest > step
    from jaxgen.environment import cores

    assert ("JAX was in use before jaxgen" in done.stderr) == (jax.default_backend() == "cpu" and cores() > 1)


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, jaxgen\nassert not {'jax', 'numpy', 'flax'} & set(sys.modules)\nprint(*jaxgen.__all__)"
    code += "\nassert {*jaxgen.__all__, '__version__'} <= set(dir(jaxgen)) and not hasattr(jaxgen, 'tarin')"
    code += "\nassert jaxgen.UserError('x') and 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == sorted(done.stdout.split())


OWN = """
import dataclasses
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment

@dataclasses.dataclass(frozen=True)
class Own:
    rate: float = 0.1
    def build(self, updates):
        import optax
        return optax.sgd(self.rate)

def experiment():
    return dataclasses.replace(load_experiment("rnn/digits", Experiment), optimisers={"likelihood": Own()})

if __name__ == "__main__":
    import json
    print(json.dumps(to_document(experiment())))
"""


def test_a_class_of_a_script_is_found_again_by_the_file(tmp_path):
    """What runs as __main__ is described as the experiment file is: either reads the other's run."""
    file = tmp_path / "script.py"
    file.write_text(OWN)
    done = subprocess.run([sys.executable, file], check=True, capture_output=True, text=True, env=with_checkout())
    document = json.loads(done.stdout)
    assert "script.py:Own" in done.stdout
    assert document == json.loads(json.dumps(to_document(load_experiment(file, jaxgen.Experiment))))


def test_a_class_of_a_notebook_is_refused_in_one_sentence(tmp_path):
    """It is in no file: neither its own run nor another process could find it again."""
    done = subprocess.run(
        [sys.executable, "-c", OWN], capture_output=True, text=True, env=with_checkout(), cwd=tmp_path
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "optimisers.likelihood holds Own, which was written in a notebook or at a prompt" in last
    assert "write it into a file" in last


def with_checkout() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
