"""A translator tuned toward a reward on the host: trained, stopped, failed, resumed, measured; and an own tuning."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

import jax
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.core.mean import Mean
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import Words
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch, TokenSampler
from jaxgen.rewards.host import OnHost, SentenceBleu
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.rewards.tuned import Samples, Tuning
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.train_run import train_run
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from tests.commands.test_resume import end_of

LINES = [("a cat", "un chat"), ("a dog", "un chien"), ("the cat", "le chat"), ("the dog", "le chien")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    files = [str(folder / name) for name in ("en", "fr")]
    for file, lines in zip(files, zip(*LINES, strict=True), strict=True):
        (folder / file).write_text("\n".join(lines) + "\n")
    return Pairs(tuple(files), tuple(files), batch_size=16, buckets=(4,), tokens=Words())


def experiment(data, reward=SentenceBleu(), seconds=20.0, **fields) -> Experiment:
    network = RecurrentEncoderDecoder(width=8, embedding=8, dropout=0.0)
    whole = Experiment(
        task=SequenceToSequence(network, sampler=TokenSampler()),
        data=data,
        optimisers={"policy": AdamW(1e-2)},
        steps=6,
        every=Every(log=2, evaluate=6, sample=6, checkpoint=4),
        rewards=ScoreFunction(OnHost(reward, seconds), kl_coef=0.01, group=4, passes=2),
        parallel=Parallel(data=2),
    )
    return dataclasses.replace(whole, **fields)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("run") / "whole"
    assert train_run(experiment(data), run, lambda: False) == 6
    return run


def checkpoints(run):
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit())


def test_stopped_and_resumed_it_ends_as_the_run_that_was_not(whole, data, tmp_path):
    asked = []
    assert 0 < train_run(experiment(data), tmp_path / "run", lambda: asked.append(0) or len(asked) == 3) < 6
    assert train_run(experiment(data), tmp_path / "run", lambda: False) == 6
    assert end_of(tmp_path / "run") == end_of(whole)


def test_it_keeps_what_its_prompts_came_from(whole, data):
    assert json.loads((whole / "data.json").read_text())["content_sha256"] == data.content()


def test_it_tells_its_reward_and_its_samples_figures_and_may_be_searched_with_a_beam(whole):
    figures = evaluate_run(whole)
    assert 0 <= figures["reward"] <= 1 and 0 <= figures["reward_at_start"] <= 1 and figures["kl_nats"] >= -0.1
    assert {"bleu", "chrf", "exact_match", "nats_per_token"} <= set(figures)
    searched = evaluate_run(whole, settings=["task.sampler=BeamSearch", "task.sampler.width=3"])
    assert "bleu" in searched and "reward" not in searched  # a beam draws nothing that could be rewarded as in training
    shown = (whole / "samples" / "6.txt").read_text()
    assert shown.startswith("a cat\n")


@dataclass(frozen=True)
class Failing:
    """BLEU of the first rollout, and then no more."""

    how: str
    calls = [0]  # noqa: RUF012 - the same for all copies, on purpose

    def __call__(self, given, made, reference):
        self.calls[0] += 1
        if self.calls[0] < 2:
            return SentenceBleu()(given, made, reference)
        if self.how == "hangs":
            time.sleep(30)
        if self.how == "raises":
            raise RuntimeError("out of words")
        return [float("nan")] * len(made)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("raises", "the reward Failing .* raised RuntimeError: out of words .* after step 2"),
        ("hangs", "the reward Failing .* had not answered after 1 seconds"),
        ("gives nan", "the reward Failing .* gave nan after step 2"),
    ],
)
def test_a_reward_that_fails_costs_no_step_and_mended_the_run_goes_on(how, sentence, whole, data, tmp_path):
    Failing.calls[0] = 0
    failing = experiment(data, Failing(how), seconds=1.0 if how == "hangs" else 20.0)
    with pytest.raises(UserError, match=sentence):
        train_run(failing, tmp_path, lambda: False)
    assert checkpoints(tmp_path)[-1] == 2  # where it failed, not where it last saved
    Failing.calls[0] = -1000
    assert train_run(failing, tmp_path, lambda: False) == 6
    assert end_of(tmp_path) == end_of(whole)


@dataclass(frozen=True)
class Likeliest:
    """A tuning of one's own: the likelihood of each sample, times its reward."""

    reward: Any
    distance = "kl_nats"
    passes = 1
    group = 1

    def check(self, task, batch_size):
        task.check_policy()

    def source(self, task, batch_size, prompts, plain):
        return Samples.of(task, self, batch_size, prompts)

    def batch(self, task, prepared, variables, start, prompt, key):
        drawn = task.rollout(variables, {"row": prompt["row"], "given": prompt["given"]}, key)
        reward = self.reward(prepared, drawn.example | {"reference": prompt["reference"]})
        kl = (drawn.log_prob - task.score(start, drawn)).sum(axis=1)
        return {"trajectory": drawn, "example": drawn.example, "reward": reward, "kl_nats": kl}

    def loss(self, task, variables, batch):
        return Mean.of(-batch["reward"] * task.score(variables, batch["trajectory"]).sum(axis=1))

    def examples(self, task, variables, request, key):
        return task.rollout(variables, request, key).example


@dataclass(frozen=True)
class FirstWord:
    """Whether the first word is the reference's."""

    def prepare(self, spec):
        return {}

    def __call__(self, prepared, example):
        made, reference = example["made"]["value"][:, 1], example["reference"]["value"][:, 1]
        return (made == reference).astype(jax.numpy.float32)


def test_a_tuning_of_ones_own_trains(data, tmp_path):
    own = Likeliest(FirstWord())
    assert isinstance(own, Tuning)
    run = experiment(data, rewards=own, steps=30, every=Every(5, 100, 100, 100), parallel=Parallel(data=1))
    assert train_run(run, tmp_path, lambda: False) == 30
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rewards = [line["reward"] for line in lines if line["split"] == "train"]
    assert rewards[-1] > rewards[0] + 0.2


def test_a_sampler_without_densities_is_refused_before_anything_is_trained(data, tmp_path):
    for sampler in (BeamSearch(), TokenSampler(top_k=2), TokenSampler(temperature=0.0), TokenSampler(top_p=0.9)):
        bad = experiment(data)
        bad = dataclasses.replace(bad, task=dataclasses.replace(bad.task, sampler=sampler))
        with pytest.raises(UserError, match="tuning by ScoreFunction"):
            train_run(bad, tmp_path / "run", lambda: False)
        assert not (tmp_path / "run").exists()


def test_the_command_line_sets_what_tuning_has(data):
    changed = set_fields(
        experiment(data),
        ["rewards.passes=4", "rewards.clip=0.1", "rewards.reward.seconds=5", "rewards.reward.function=SentenceBleu"],
    )
    assert changed.rewards == ScoreFunction(OnHost(SentenceBleu(), 5.0), kl_coef=0.01, group=4, passes=4, clip=0.1)
    sampler = set_fields(experiment(data), ["task.sampler=BeamSearch", "task.sampler.width=5"]).task.sampler
    assert sampler == BeamSearch(width=5)
