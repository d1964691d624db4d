"""There and back: the command that a page saves makes the same bytes; the verb's mistakes, and its end."""
# SPDX-License-Identifier: Apache-2.0

import functools
import http.client
import json
import shlex
import signal
from pathlib import Path

import pytest

from jaxgen import cli
from jaxgen.cli_arguments import parser
from jaxgen.config.changes import set_fields
from jaxgen.play.explorer import explorer_of
from jaxgen.play.saving import save
from jaxgen.play.view import View
from jaxgen.reporting.terminal import say
from jaxgen.running.train_run import train_run
from tests.commands.command import begin
from tests.families.cases import experiment_of

FEW = ["steps=2", "evaluate.examples=16", "every.log=2", "every.evaluate=2", "every.sample=2", "every.checkpoint=2"]
CASES = {  # what is opened, and what is moved there
    "gan": ((), View("7", 11, 3, (1.5, -0.35), knobs={"truncation": 0.7})),
    "vae": ((), View(None, 4294967295, 2, (0.05,) * 8, knobs={"temperature": 0.35})),
    "diffusion": (
        ("task.sampler=DPMSolver2M", "task.sampler.steps=8", "task.sampler.guidance=2"),
        View("3", 1, 1, (3.0, 0.0, -2.0), knobs={"guidance": 0.25}),
    ),
}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """The folder of a run of two steps."""

    @functools.cache
    def trained(case: str) -> Path:
        fewer = ["task.importance_samples=4"] if case == "vae" else []
        folder = tmp_path_factory.mktemp(case) / "a run's folder"
        train_run(set_fields(experiment_of(case), [*FEW, *fewer, "data.batch_size=16"]), folder, lambda: False)
        return folder

    return trained


def follow(command: str) -> int:
    """What a shell's command does, in this process."""
    program, *arguments = shlex.split(command)
    assert program == "jaxgen"
    return cli._run(parser().parse_args(arguments))


def told(capsys, *arguments: str) -> str:
    """The one sentence of a user's mistake."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and not out and "Traceback" not in err
    return err.strip().splitlines()[-1]  # before it that JAX was in use already


@pytest.mark.parametrize(
    "case", ["gan", *(pytest.param(case, marks=pytest.mark.slow) for case in ("vae", "diffusion"))]
)
def test_the_saved_command_makes_the_same_bytes(case, run_of, capsys):
    settings, view = CASES[case]
    explorer = explorer_of(run_of(case), None, say, settings, None)
    saved = save(explorer, view)
    content = saved.picture.read_bytes()
    assert saved.picture.with_suffix(".txt").read_text() == saved.command + "\n"
    for other in (
        View(view.given, view.seed, view.count),
        View(view.given, 2, view.count, view.sliders, knobs=view.knobs),
    ):
        assert explorer.see(other).artefact.content != content
    saved.picture.unlink()
    capsys.readouterr()
    assert follow(saved.command) == 0
    assert capsys.readouterr().out == f"{saved.picture}\n" and saved.picture.read_bytes() == content


@pytest.mark.slow
def test_an_attribute_is_learned_again_by_the_saved_command(tmp_path, capsys):
    """Of a VAE that is given nothing, from the classes of its training data; whatever the temperature is set to."""
    settings = [*FEW, "task.importance_samples=4", "data.batch_size=16", "data.given=false"]
    train_run(set_fields(experiment_of("vae"), settings), tmp_path / "run", lambda: False)
    explorer = explorer_of(tmp_path / "run", None, say, (), None, ["3", "8"], ["1"])
    assert explorer.attribute.name == "3, 8 rather than 1"
    view = View(None, 1, 2, attribute=-2.5, knobs={"temperature": 0.5})
    saved = save(explorer, view)
    content = saved.picture.read_bytes()
    assert explorer.see(View(None, 1, 2, knobs={"temperature": 0.5})).artefact.content != content
    saved.picture.unlink()
    assert follow(saved.command) == 0 and saved.picture.read_bytes() == content


def test_a_saved_command_keeps_to_the_checkpoint_that_was_seen(run_of):
    explorer = explorer_of(run_of("gan"), None, say, (), None)
    assert "--checkpoint 2 " in explorer.command(View(), Path("x.png"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--given", "ten"], "there is no class 'ten'"),
        (["--count", "17"], "count is 17; give a whole number from 1 to 16"),
        (["--seed", "-1"], "seed is -1"),
        (["--sliders=1,a"], "--sliders=1,a: give numbers with commas between"),
        (["--sliders=nan"], "--sliders=nan: give numbers"),
        (["--sliders=4"], "give numbers from -3 to 3"),
        (["--sliders=0,0,0,0,0,0,0,0,1"], "sliders has 9 numbers; give at most 8"),
        (["--out", "no/folder/x.png"], "there is no folder no/folder"),
        (["--out", "x.jpg"], "this is a .png file; end --out in .png"),
        (["--port", "70000"], "--port is 70000"),
        (["--set", "task.sampler.truncation=-1"], "truncation is -1"),
        (["--checkpoint", "9"], "--checkpoint 9: there is none"),
    ],
    ids=lambda part: None,
)
def test_a_mistake_is_one_sentence(options, sentence, run_of, capsys, tmp_path, monkeypatch):
    run = run_of("gan")
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert sentence in told(capsys, "play", "--workdir", run, *options)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_the_server_cleanly(run_of):
    """A whole process, which says where its page is and is asked for a picture before it is stopped."""
    process = begin("play", "--workdir", run_of("gan"), "--port", "0")
    try:
        address = process.stdout.readline().split()[0]
        connection = http.client.HTTPConnection(address.removeprefix("http://").strip("/"), timeout=60)
        connection.request("POST", "/picture", b"{}", {"Content-Type": "application/json"})
        assert json.loads(connection.getresponse().read())["picture"].startswith("data:image/png;base64,")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in err + out and "stopping after this picture" in err
