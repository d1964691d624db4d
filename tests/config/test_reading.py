"""Experiment files: what comes back, the sentence for every mistake, and that nothing half-read stays behind."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import subprocess
import sys
import typing

import pytest

from jaxgen.config.reading import MODULE_PREFIX, load_experiment
from jaxgen.errors import UserError


@dataclasses.dataclass(frozen=True)
class Experiment:
    steps: int


GOOD = f'''"""A file with string annotations and a class of its own."""
from __future__ import annotations
import dataclasses
from {__name__} import Experiment

@dataclasses.dataclass(frozen=True)
class Longer(Experiment):
    rate: Rate = 0.5

Rate = float

def experiment():
    return Longer(3)
'''


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="mnist.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return name

    return write


def read_modules():
    return {name for name in sys.modules if name.startswith(MODULE_PREFIX)}


def refusal(path, expected=Experiment):
    before, search = read_modules(), list(sys.path)
    with pytest.raises(UserError) as caught:
        load_experiment(path, expected)
    assert read_modules() == before
    assert sys.path == search
    return str(caught.value)


def test_the_experiment_comes_back_and_its_classes_know_their_module(write):
    result = load_experiment(write(GOOD), Experiment)
    assert (result.steps, result.rate) == (3, 0.5)
    assert typing.get_type_hints(type(result))["rate"] is float


def test_the_folder_of_the_file_stays_clean_and_off_the_search_path(write, tmp_path):
    load_experiment(write(GOOD), Experiment)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.py"]
    assert str(tmp_path) not in sys.path


def test_a_file_is_read_anew_each_time(write):
    load_experiment(write(GOOD), Experiment)
    assert load_experiment(write(GOOD.replace("Longer(3)", "Longer(4)")), Experiment).steps == 4


def test_a_failed_reading_leaves_the_earlier_one_in_place(write):
    first = load_experiment(write(GOOD), Experiment)
    module = sys.modules[type(first).__module__]
    refusal(write(GOOD.replace("Longer(3)", "Shorter(3)")))
    assert sys.modules[type(first).__module__] is module


def test_no_such_file_names_the_nearest(write):
    write(GOOD, "configs/gan/faces.py")
    write(GOOD, "configs/vae/digits.py")
    expected = "there is no experiment file configs/gan/facse.py; did you mean 'configs/gan/faces.py'?"
    assert refusal("configs/gan/facse.py") == expected
    assert "did you mean 'configs/gan/faces.py'?" in refusal("configs/gann/faces.py")
    assert refusal("configs/faces.py").endswith("did you mean 'configs/gan/faces.py'?")
    assert "'configs/gan/faces.py'" in refusal("configs/gan/faces")
    assert "'configs/gan/faces.py'" in refusal("faces.py")
    assert "there is no experiment file" in refusal("configs/gan/faces.py/more.py")


def test_a_folder(write):
    write(GOOD, "configs/gan/mnist.py")
    assert refusal("configs").startswith("configs is a folder; name an experiment file")
    assert "'configs/gan/mnist.py'" in refusal("configs")


def test_a_file_that_may_not_be_read(write, tmp_path, monkeypatch):
    write(GOOD)

    def forbidden(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", forbidden)
    assert refusal("mnist.py") == "the experiment file mnist.py cannot be read: Permission denied"


def test_not_python(write):
    message = refusal(write("def experiment():\n    return Experiment(steps=\n\nx = 1\n"))
    assert message.startswith("mnist.py line 2 is not Python ('(' was never closed): return Experiment(steps=")
    assert "is not Python" in refusal(write("x = '\0'"))


def test_not_text(write, tmp_path):
    (tmp_path / "picture.py").write_bytes(b"\x89PNG\xff\xfe")
    assert "picture.py" in refusal("picture.py")
    assert "is not Python" in refusal("picture.py")


def test_no_experiment(write):
    message = refusal(write("def experimnt():\n    return 3\n"))
    assert message == ("mnist.py has no function experiment() that returns an Experiment; did you mean 'experimnt'?")
    assert refusal(write("experiment = 3\n")) == "mnist.py has no function experiment() that returns an Experiment"


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "x = 1\nimport no_such_package\n",
            "mnist.py line 2 raises ModuleNotFoundError: No module named",
        ),
        ("def experiment():\n\n    return int('x')\n", "mnist.py line 3 raises ValueError: invalid literal for int()"),
        ("def experiment():\n    assert 1 == 2\n", "mnist.py line 2 raises AssertionError"),
        ("def experiment(seed):\n    return seed\n", "mnist.py raises TypeError: experiment() missing 1 required"),
        (
            "from jaxgen.errors import UserError\n\ndef experiment():\n    raise UserError('rate:\\n  too high')\n",
            "mnist.py line 4 refuses: rate: too high",
        ),
        ("import json\ndef experiment():\n    return json.loads('{')\n", "mnist.py line 3 raises JSONDecodeError: "),
    ],
)
def test_an_error_inside_says_what_and_where(write, text, message):
    assert refusal(write(text)).startswith(message)


def test_the_cause_is_kept(write):
    with pytest.raises(UserError) as caught:
        load_experiment(write("def experiment():\n    return 1 / 0\n"), Experiment)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "value, found", [("3", "a value of type int"), ("None", "nothing"), ("{}", "a value of type dict")]
)
def test_the_wrong_type(write, value, found):
    message = refusal(write(f"def experiment():\n    return {value}\n"))
    assert message == f"experiment() in mnist.py returns {found}; it must return an Experiment"


def test_config_imports_without_jax_or_numpy():
    modules = "comparison, changes, document, introspection, names, reading, words"
    code = f"import sys; from jaxgen.config import {modules}; assert not {{'jax', 'flax', 'numpy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
