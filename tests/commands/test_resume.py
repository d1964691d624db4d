"""Law 3: a run killed anywhere and resumed ends as the run that was not killed, bit for bit."""
# SPDX-License-Identifier: Apache-2.0

import json
import random
import shutil
import signal
import time
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from tests.commands.command import SMALL, as_users, begin, jaxgen, start_of, train_small


def end_of(run: Path) -> tuple:
    """All that the law names: digests of parameters, optimiser, averages, keys, source; the log; the pictures."""
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager((run / "checkpoints").absolute(), options=options) as manager:
        step = manager.latest_step()
        saved = manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
    pictures = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    return step, saved["leaves"], saved["record"]["window"], (run / "metrics.jsonl").read_text(), pictures


# A supervised and a rewarded training are killed once here, every family by benchmarks/kill_trials.py; the others, and
# in every other way all but one, by hand: pytest -m 'slow or not slow'.
QUICK = ("configs/rnn/python_docs.py",)
KILLED = (*QUICK, "configs/gan/digits_reward.py")


@pytest.fixture(
    scope="module",
    params=[pytest.param(c, marks=[] if c in KILLED else pytest.mark.slow) for c in sorted(SMALL)],
    ids=lambda config: config.removesuffix(".py"),
)
def whole(request, tmp_path_factory):
    """The arguments of a run that nothing disturbed, all but its folder; its end; and its folder, to be copied."""
    folder = tmp_path_factory.mktemp("whole")
    start = start_of(request.param, folder)
    process = jaxgen(*train_small(request.param, folder / "run", *start))
    assert process.returncode == 0, process.stderr
    return (request.param, start), end_of(folder / "run"), folder / "run"


@pytest.fixture
def some(whole, request):
    """`whole`, of the quick configs unless the slow tests are asked for."""
    if whole[0][0] not in QUICK and request.config.option.markexpr == "not slow":
        pytest.skip("slow for this config: pytest -m 'slow or not slow'")
    return whole


def lines(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill_after(
    arguments: list[str], run: Path, number: int, wait: float, how: signal.Signals, env: dict[str, str] | None = None
) -> int:
    """Signal the run a little after it has written `number` more lines; its exit code (0 when it was done before)."""
    process, before = begin(*arguments, env=env), lines(run)
    while process.poll() is None and lines(run) < before + number:
        time.sleep(0.002)
    time.sleep(wait)
    process.send_signal(how)
    process.communicate(timeout=300)
    return process.returncode


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_killed_anywhere_and_resumed(whole, tmp_path, seed):
    (config, start), expected, _ = whole
    chance, run = random.Random(seed), tmp_path / "run"
    arguments = train_small(config, run, *start)
    for _ in range(2 if seed else 1):  # a resumed run is killed too, by hand
        kill_after(arguments, run, chance.randint(1, 3), chance.uniform(0, 0.1), signal.SIGKILL)
    process = jaxgen(*arguments)
    assert process.returncode == 0, process.stderr
    assert end_of(run) == expected


def test_killed_and_resumed_as_users_programs_are_compiled(tmp_path):
    """The other tests pin LLVM's optimisation level; this one's processes are compiled as a user's are."""
    env, config = as_users(), QUICK[0]
    arguments = train_small(config, tmp_path / "run")
    whole = jaxgen(*train_small(config, tmp_path / "whole"), env=env)
    assert whole.returncode == 0, whole.stderr
    # a checkpoint every 6 steps, as a line: at the fourth line that of step 6 is whole, as the save of 12 waits for it
    assert kill_after(arguments, tmp_path / "run", 4, 0.0, signal.SIGKILL, env) == -signal.SIGKILL
    resumed = jaxgen(*arguments, env=env)
    assert resumed.returncode == 0 and "going on from step" in resumed.stderr, resumed.stderr
    assert end_of(tmp_path / "run") == end_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_stopped_at_any_step_it_saves_and_goes_on(some, tmp_path, how, code):
    (config, start), expected, _ = some
    run = tmp_path / "run"
    arguments = train_small(config, run, "every.checkpoint=1000", *start)
    before = kill_after(arguments, run, 2, 0.0, how)
    assert before == code
    steps = [path.name for path in (run / "checkpoints").iterdir() if path.name.isdigit() and path.name != "0"]
    assert len(steps) == 1 and 0 < int(steps[0]) <= expected[0]
    process = jaxgen(*arguments)
    assert process.returncode == 0 and f"going on from step {steps[0]}" in process.stderr
    step, digests, window, metrics, _ = end_of(run)
    assert (step, digests, window, metrics) == expected[:4]


def test_a_damaged_newest_checkpoint_costs_some_steps_and_nothing_else(some, tmp_path):
    (config, start), expected, ended = some
    run = shutil.copytree(ended, tmp_path / "run")
    newest = max(
        (path for path in (run / "checkpoints").iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
    )
    for file in (newest / "state").rglob("*"):
        if file.is_file() and file.stat().st_size > 2000:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
    process = jaxgen(*train_small(config, run, *start))
    assert process.returncode == 0
    assert f"the checkpoint of step {newest.name} is damaged" in process.stderr
    assert end_of(run) == expected


def test_a_finished_run_is_left_as_it_is(some, tmp_path):
    (config, start), expected, ended = some
    run = shutil.copytree(ended, tmp_path / "run")
    assert jaxgen(*train_small(config, run, *start)).returncode == 0
    assert end_of(run) == expected
    assert json.loads((run / "summary.json").read_text())["steps"] == expected[0]
