"""Modules beside an experiment file are found from anywhere, are those beside it, and shadow nothing else."""
# SPDX-License-Identifier: Apache-2.0

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgen.config.document import to_document
from jaxgen.config.helpers import IMPORTED, helper_digests
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from tests.commands.command import ROOT

CONFIG = """
import dataclasses, runpy
import mine_{name}
def experiment():
    from later_{name} import steps
    whole = runpy.run_path({gan!r})["experiment"]()
    return dataclasses.replace(whole, data=mine_{name}.Mine(batch_size=8), steps=steps)
"""
MINE = """
from dataclasses import dataclass
from jaxgen.data.pictures import Pictures
import deeper_{name}.numbers_of_mine
@dataclass(frozen=True)
class Mine(Pictures):
    more: int = deeper_{name}.numbers_of_mine.MORE
"""


@pytest.fixture
def place(tmp_path, request):
    """A folder with an experiment file, modules beside it and a package; the names are this test's own."""
    name = "".join(character if character.isalnum() else "_" for character in request.node.name)
    folder = tmp_path / "configs"
    write(folder, name)
    return folder, name


def write(folder: Path, name: str, steps: int = 4, more: int = 7) -> None:
    (folder / f"deeper_{name}").mkdir(parents=True, exist_ok=True)
    (folder / "x.py").write_text(CONFIG.format(name=name, gan=str(ROOT / "configs/gan/digits.py")))
    (folder / f"mine_{name}.py").write_text(MINE.format(name=name))
    (folder / f"later_{name}.py").write_text(f"steps = {steps}\n")
    (folder / f"deeper_{name}" / "__init__.py").write_text("")
    (folder / f"deeper_{name}" / "numbers_of_mine.py").write_text(f"MORE = {more}\n")


def test_a_helper_is_found_and_its_class_is_told_by_its_source(place):
    folder, name = place
    experiment = load_experiment(folder / "x.py", Experiment)
    assert (experiment.steps, experiment.data.more) == (4, 7)
    data = to_document(experiment)["fields"]["data"]
    assert data["user"] == f"mine_{name}:Mine" and len(data["sha256"]) == 64
    assert {f"mine_{name}.py", f"later_{name}.py"} <= set(helper_digests())


def test_a_helper_of_the_same_name_in_another_folder_is_that_one(place, tmp_path):
    folder, name = place
    write(tmp_path / "others", name, steps=300, more=900)
    found = [load_experiment(place / "x.py", Experiment) for place in (folder, tmp_path / "others", folder)]
    assert [(one.steps, one.data.more) for one in found] == [(4, 7), (300, 900), (4, 7)]


def test_a_helper_that_has_changed_is_read_again(place):
    folder, name = place
    before = load_experiment(folder / "x.py", Experiment)
    digests = helper_digests()
    write(folder, name, steps=1234)
    assert before.steps == 4 and load_experiment(folder / "x.py", Experiment).steps == 1234
    assert helper_digests()[f"later_{name}.py"] != digests[f"later_{name}.py"]


def test_a_helper_is_no_more_found_from_a_folder_that_lacks_it(place, tmp_path):
    folder, name = place
    load_experiment(folder / "x.py", Experiment)
    (tmp_path / "lacking.py").write_text(f"import mine_{name}\ndef experiment(): ...\n")
    with pytest.raises(UserError, match="line 1 raises ModuleNotFoundError"):
        load_experiment(tmp_path / "lacking.py", Experiment)


def test_files_beside_it_shadow_no_library_and_it_is_read_from_any_folder(place, tmp_path):
    """`random.py`, `copy.py` and `jaxgen.py` are names that people give to files; another process, in another place."""
    folder, _ = place
    for name in ("random", "copy", "jaxgen"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from jaxgen.config.reading import load_experiment\nfrom jaxgen.experiment import Experiment\n"
        "print(load_experiment(sys.argv[1], Experiment).steps)\nimport random, copy"
    )
    arguments = [sys.executable, "-c", code, str(folder / "x.py"), str(ROOT)]
    process = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout == "4\n", process.stderr


def test_an_experiment_that_builds_on_another_keeps_its_own_helpers(place):
    """And a module of a package that has changed is told, and read again."""
    folder, name = place
    (folder / "y.py").write_text(
        f"import mine_{name}\nfrom jaxgen.config.reading import load_experiment\n"
        "from jaxgen.experiment import Experiment\n"
        "def experiment():\n"
        "    load_experiment('gan/digits', Experiment)\n"
        f"    from later_{name} import steps\n"
        "    import dataclasses\n"
        "    base = load_experiment('gan/digits', Experiment)\n"
        f"    return dataclasses.replace(base, data=mine_{name}.Mine(), steps=steps)\n"
    )
    assert load_experiment(folder / "y.py", Experiment).data.more == 7
    before = helper_digests()
    assert {f"mine_{name}.py", f"later_{name}.py", f"deeper_{name}/"} <= set(before)
    (folder / f"deeper_{name}" / "numbers_of_mine.py").write_text("MORE = 11\n")
    (folder / f"mine_{name}.py").write_text(MINE.format(name=name) + "# changed\n")
    assert load_experiment(folder / "y.py", Experiment).data.more == 11
    assert helper_digests()[f"deeper_{name}/"] != before[f"deeper_{name}/"]


def test_no_config_shadows_a_package_that_jaxgen_imports():
    found = set()
    for path in (ROOT / "jaxgen").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
    assert found - set(sys.stdlib_module_names) <= IMPORTED
