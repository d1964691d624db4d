"""Starting from another run and tuning toward a reward, as a user does both; and what can go wrong in it."""
# SPDX-License-Identifier: Apache-2.0

import json
import shutil
from pathlib import Path

import pytest

from tests.commands.command import ROOT, here, jaxgen, start_of, told, train_small

GAN, RNN = "configs/gan/digits.py", "configs/rnn/digits.py"
GAN_REWARD, RNN_REWARD = "configs/gan/digits_reward.py", "configs/rnn/digits_reward.py"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A small GAN to start from."""
    return start_of(GAN_REWARD, tmp_path_factory.mktemp("tuning"))[0].removeprefix("start.run=")


@pytest.fixture(scope="module")
def tuned(start, tmp_path_factory):
    """A small run toward a reward."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    process = jaxgen(*train_small(GAN_REWARD, run, "steps=6"), "--start", start)
    assert process.returncode == 0, process.stderr
    assert f"starting from {start} at step 6" in process.stderr
    return run


def test_a_reward_run_shows_its_start_and_its_price(tuned):
    lines = [json.loads(line) for line in (tuned / "metrics.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines if line["split"] == "test"} == {0, 6}
    assert (tuned / "samples" / "0.png").exists() and (tuned / "samples" / "6.png").exists()
    process = here("evaluate", "--workdir", tuned)
    figures = json.loads(process.stdout.splitlines()[-1])
    assert 0 <= figures["reward_at_start"] <= 1 and 0 <= figures["reward"] <= 1 and figures["squared_distance"] > 0
    summary = json.loads((tuned / "summary.json").read_text())
    assert 0.5 < summary["frozen_fraction"] < 1  # the discriminator


def test_a_reward_run_needs_its_start_no_more_once_it_has_begun(start, tuned, tmp_path):
    run = shutil.copytree(tuned, tmp_path / "run")
    before = (run / "metrics.jsonl").read_text()
    shutil.rmtree(run / "checkpoints" / "6")
    away = Path(start).rename(f"{start} elsewhere")
    try:
        process = jaxgen(*train_small(GAN_REWARD, run, "steps=6"), "--start", start)
    finally:
        away.rename(start)
    assert process.returncode == 0 and "going on from step 0" in process.stderr
    assert (run / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("config", "settings", "sentence"),
    [
        (RNN, [], "head/bias is missing there and float32[17] here"),
        (GAN, ["task.generator.width=64"], "generator/Block_0/Dense_0/kernel is float32[128,256] there and float32["),
        (GAN_REWARD, ["rewards.reward.target=10"], "there is no such class; give 0 to 9"),
        (GAN_REWARD, ["rewards.distance_coef=-1"], "rewards.distance_coef is -1"),
        (GAN_REWARD, ["rewards.reward.tarrget=1"], "did you mean 'target'"),
        (GAN_REWARD, ["data.name=emoji"], "the digits net, which needs 8x8 pictures"),
    ],
    ids=["family", "shape", "class", "hold", "name", "data"],
)
def test_a_start_or_a_reward_that_does_not_fit(config, settings, sentence, start, tmp_path):
    assert sentence in told(here(*train_small(config, tmp_path / "run", *settings), "--start", start))


def test_a_start_that_is_no_run(tmp_path):
    assert "is no run" in told(here(*train_small(GAN_REWARD, tmp_path / "run"), "--start", tmp_path))


def test_groups_that_no_device_can_hold(tmp_path, start):
    said = told(here(*train_small(RNN_REWARD, tmp_path / "run", "rewards.group=7", "start=none")))
    assert "data.batch_size is 16 and rewards.group 7" in said


OWN = """
import dataclasses
import runpy
import jax.numpy as jnp

@dataclasses.dataclass(frozen=True)
class Mine:
    def prepare(self, spec):
        return {}

    def __call__(self, prepared, example):
        ink = example["made"]["value"].mean(axis=(1, 2, 3))
        return RETURNED

def experiment():
    whole = runpy.run_path(CONFIG)["experiment"]()
    return dataclasses.replace(whole, rewards=dataclasses.replace(whole.rewards, reward=Mine()))
"""


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ("ink.sum()", "it must give float [128]"),
        ("jnp.where(ink > -1, jnp.nan, ink)", "the reward of a batch up to step"),
    ],
    ids=["shape", "nan"],
)
def test_a_reward_of_the_users_own_that_is_wrong(returned, sentence, start, tmp_path):
    config, run = tmp_path / "own.py", tmp_path / "run"
    config.write_text(OWN.replace("RETURNED", returned).replace("CONFIG", repr(str(ROOT / GAN_REWARD))))
    small = ["task.discriminator.width=384", "steps=6", "steps_per_call=3"]
    process = here("train", "--config", config, "--workdir", run, "--start", start, "--set", *small)
    assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
    assert sentence in process.stderr.strip().splitlines()[-1]
    checkpoints = [path.name for path in (run / "checkpoints").iterdir() if path.name.isdigit()]
    assert checkpoints == ["0"]  # nothing that the reward has spoilt was kept


def test_a_family_without_likelihood_or_critic_has_nothing_to_score(tmp_path):
    config, run = tmp_path / "duel.py", tmp_path / "run"
    config.write_text(
        "from jaxgen.data.pictures import Pictures\nfrom jaxgen.experiment import Experiment\n"
        "from jaxgen.training.optimisers import AdamW\nfrom tests.worlds import Duel\n"
        "def experiment():\n    adam = {name: AdamW() for name in ('left', 'right')}\n"
        "    return Experiment(task=Duel(), data=Pictures(), optimisers=adam, steps=3)\n"
    )
    assert here("train", "--config", config, "--workdir", run).returncode == 0
    said = told(here("score", "--workdir", run, "--config", config, "Makefile"))
    assert "neither a likelihood nor a probability" in said
