"""What ships: experiments and benchmarks, found and copied; an installed package holds all that a checkout does."""
# SPDX-License-Identifier: Apache-2.0

import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import jaxgen
from jaxgen.commands.configs import configs
from jaxgen.config.reading import load_experiment
from jaxgen.config.shipped import headline, shipped_config, shipped_configs, shipped_files
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from tests.commands.command import ROOT
from tests.commands.command import jaxgen as command

NAMES = sorted(str(path.relative_to(ROOT / "configs").with_suffix("")) for path in (ROOT / "configs").rglob("*.py"))


def shipped_sources() -> set[str]:
    """Where each file of jaxgen/, configs/ and benchmarks/ lies in an installed package."""
    found = set()
    for folder, place in {"jaxgen": "jaxgen", "configs": "jaxgen/_configs", "benchmarks": "jaxgen/_benchmarks"}.items():
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        found |= {f"{place}/{path.relative_to(ROOT / folder).as_posix()}" for path in files}
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What setup.py lays out, without a wheel."""
    pytest.importorskip("setuptools")
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("jaxgen", "configs", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", source)
    arguments = ["setup.py", "-q", "build_py", "--build-lib", str(folder)]
    subprocess.run([sys.executable, *arguments], check=True, cwd=source, capture_output=True, timeout=120)
    return folder


def test_an_installed_package_holds_every_file(built):
    assert {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()} == shipped_sources()


def test_an_installed_package_finds_its_experiments(built, tmp_path):
    """In an empty folder, by the command."""
    code = f"import sys; sys.path.insert(0, {str(built)!r}); import jaxgen.cli; jaxgen.cli.main(sys.argv[1:])"

    def run(*arguments: str) -> str:
        process = [sys.executable, "-c", code, *arguments]
        return subprocess.run(process, check=True, capture_output=True, text=True, cwd=tmp_path, timeout=120).stdout

    assert [line.split()[0] for line in run("configs").splitlines()] == NAMES
    assert str(Path(run("configs", "gan/digits_reward", "--to", "own").split()[0])) == "own/gan/digits_reward.py"
    assert run("describe", "--config", "gan/digits").startswith("Gan on digits")


def test_the_version_stands_in_one_place():
    """The newest of the changelog, and not in setup.py."""
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == jaxgen.__version__ and versions[-1] == "0.2.0"
    assert jaxgen.__version__ not in (ROOT / "setup.py").read_text()


def test_every_experiment_is_listed_with_what_it_is(capsys):
    configs(None, None)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES == list(shipped_configs())
    for name, line in zip(NAMES, lines, strict=True):
        assert line.endswith(headline(ROOT / "configs" / f"{name}.py")) and len(line.split()) > 5


def test_an_experiment_has_three_names_and_a_file_goes_first(tmp_path, monkeypatch):
    file = ROOT / "configs" / "rnn" / "digits.py"
    for name in ("rnn/digits", "rnn/digits.py", "configs/rnn/digits.py"):
        assert shipped_config(name) == file
    assert shipped_config("digits") is None
    monkeypatch.chdir(tmp_path)
    assert load_experiment("rnn/digits", Experiment) == load_experiment(file, Experiment)
    (tmp_path / "rnn").mkdir()
    text = file.read_text().replace("steps=1100", "steps=7")
    (tmp_path / "rnn" / "digits.py").write_text(text)
    assert load_experiment("rnn/digits.py", Experiment).steps == 7


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_whole(name, tmp_path, capsys):
    """Copied out alone it is loaded, with the experiments that it reads."""
    assert configs(name, str(tmp_path)) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert written[0] == tmp_path / f"{name}.py"
    assert written[0].read_bytes() == (ROOT / "configs" / f"{name}.py").read_bytes()
    copied = load_experiment(written[0], Experiment)
    assert copied.steps == load_experiment(ROOT / "configs" / f"{name}.py", Experiment).steps
    assert set(written) == {path for path in tmp_path.rglob("*") if path.is_file()}


def test_nothing_is_overwritten(tmp_path, capsys):
    """A copy of a whole folder stops before its first file where one of them was changed; the same content is none."""
    configs("vae", str(tmp_path))
    configs("vae", str(tmp_path))
    own = tmp_path / "vae" / "digits_reward.py"
    own.write_text("mine")
    for name in ("vae", "vae/digits_reward", "configs"):
        with pytest.raises(UserError, match=r"digits_reward\.py is there already and differs; move it"):
            configs(name, str(tmp_path))
    assert own.read_text() == "mine" and not (tmp_path / "gan").exists()
    capsys.readouterr()


def test_folders_are_copied_as_they_are(tmp_path, capsys):
    configs("benchmarks", str(tmp_path))
    configs("cluster", str(tmp_path))
    capsys.readouterr()
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    files = [path for path in (ROOT / "benchmarks").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    ships = {path.relative_to(ROOT).as_posix() for path in files}
    assert found == ships | {"cluster/slurm.sh", "cluster/kubernetes.yaml"}
    home = "jaxgen/_configs/"
    assert {home + path for path in shipped_files("configs")} == {path for path in shipped_sources() if home in path}


def test_mistakes_are_told(tmp_path):
    with pytest.raises(UserError, match="did you mean 'rnn/digits'"):
        configs("rnn/digit", None)
    with pytest.raises(UserError, match="--to copies what is named"):
        configs(None, str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not be written"):
        configs("rnn/digits", str(tmp_path / "file"))


def test_an_experiment_is_shown(capsys):
    configs("rnn/digits", None)
    assert capsys.readouterr().out == (ROOT / "configs" / "rnn" / "digits.py").read_text()
    configs("cluster", None)
    assert capsys.readouterr().out.split() == ["cluster/kubernetes.yaml", "cluster/slurm.sh"]


NEEDED = {"jax", "flax", "optax", "orbax-checkpoint", "absl-py", "numpy", "jaxtyping", "rich"}
HIDING = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

HIDDEN = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Hidden())
from jaxgen import cli
cli.main(sys.argv[1:])
"""


def without_the_rest(*arguments: str) -> subprocess.CompletedProcess:
    """The command where of what jaxgen installs nothing but `NEEDED` can be imported."""
    lines = [line.lower().replace("_", "-") for line in requires("jaxgen") if ";" not in line]  # no extra's
    others = {re.split("[^a-z0-9-]", line)[0] for line in lines} - NEEDED
    owners = packages_distributions().items()
    hidden = [name for name, by in owners if {owner.lower().replace("_", "-") for owner in by} & others]
    assert {"PIL", "sklearn", "tensorboardX"} <= set(hidden) and not {"jax", "numpy"} & set(hidden)
    process = [sys.executable, "-c", HIDING, ",".join(hidden), *map(str, arguments)]
    return subprocess.run(process, capture_output=True, text=True, cwd=ROOT, timeout=300)


def test_a_text_is_trained_on_and_sampled_with_few_packages_and_what_is_missing_is_told(tmp_path):
    """As on a machine of accelerators that has JAX and little else."""
    run = tmp_path / "run"
    often = ["every.log=2", "every.evaluate=4", "every.sample=4", "every.checkpoint=2"]
    small = ["task.network.width=8", "data.batch_size=4", "evaluate.examples=8", *often]
    for steps in (2, 4):  # the second goes on
        process = without_the_rest(
            "train", "--config", "rnn/python_docs", "--workdir", run, "--set", *small, f"steps={steps}"
        )
        assert process.returncode == 0, process.stderr
    assert "tensorboardX is not installed" in process.stderr and not (run / "events").exists()
    process = without_the_rest("sample", "--workdir", run, "--given", "The")
    assert process.returncode == 0 and process.stdout.startswith("The"), process.stderr
    process = without_the_rest("train", "--config", "gan/digits", "--workdir", tmp_path / "digits")
    assert process.returncode == 2 and "this needs the package sklearn, which is not installed" in process.stderr


@pytest.mark.slow
def test_a_wheel_works_in_an_empty_folder(tmp_path):
    """Built, installed without its dependencies beside this interpreter's, and used from elsewhere."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs", "*.egg-info", "build"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", ".", "--no-deps", "-w", str(wheels)]
    subprocess.run(build, check=True, cwd=source, timeout=600)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *wheels.glob("*.whl")], check=True, timeout=600)
    (site,) = (tmp_path / "venv").glob("lib/*/site-packages")
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*arguments: str) -> str:
        process = [python.with_name("jaxgen"), *arguments]
        return subprocess.run(process, check=True, capture_output=True, text=True, cwd=empty, timeout=600).stdout

    assert len(run("configs").splitlines()) == len(NAMES)
    run("train", "--config", "rnn/digits", "--workdir", "run", "--set", "steps=5", "task.network.width=16")
    assert (empty / run("sample", "--workdir", "run", "--count", "4").strip()).exists()


def test_the_command_lists_without_jax():
    code = "import sys, jaxgen.cli\ntry: jaxgen.cli.main(['configs'])\nexcept SystemExit: pass"
    subprocess.run([sys.executable, "-c", code + "\nassert 'jax' not in sys.modules"], check=True, capture_output=True)
    assert command("configs", "rnn/digitz").returncode == 2
