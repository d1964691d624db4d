"""Members that start from a pretrained run of their own seed: trained once, before them, and compared by experiment."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import numpy as np
import pytest

from jaxgen.ablation import PRETRAINED, Ablation, Design, Metric
from jaxgen.commands.ablate import _by_run
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.masks import by_path
from jaxgen.core.start import Start
from jaxgen.experiment import Experiment
from jaxgen.metrics.effects import effect, holm
from jaxgen.running import ablating
from jaxgen.running.ablating import keep_question, outcome_of, put, run_folder, run_members, trained_runs
from jaxgen.running.ablation_results import results_of
from jaxgen.running.shown import read_shown
from jaxgen.training.folder import SUMMARY, read_json

SMALL = ["data.batch_size=4", "data.length=16", "evaluate.examples=8", "task.network.width=8", "steps=2"]
BITS, SECONDS, MEGABYTES = "bits_per_character", "train_seconds", "training_megabytes"
RUN = "tuning=full,seed=0", "tuning=head,seed=0", "tuning=head,seed=1"


def asked() -> Ablation:
    base = set_fields(load_experiment("rnn/python_docs", Experiment), SMALL)
    head = ["trainable=Matching", "trainable.pattern=^head/"]
    return Ablation(
        dataclasses.replace(base, start=Start(PRETRAINED)),
        {"tuning": {"full": [], "head": head, "scratch": ["start=none"]}, "seed": range(2)},
        tuple(map(Metric, (BITS, SECONDS, MEGABYTES))),
        pretrained=set_fields(base, ["steps=4"]),
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder, ablation = tmp_path_factory.mktemp("pretrained"), asked()
    keep_question(folder, ablation)
    chosen = [member for member in ablation.members if member.name in RUN]
    run_members(ablation, folder, chosen, lambda: False)
    return folder, chosen


def parameters(workdir, member):
    """Those that its run shows, by their paths."""
    _, params, _ = read_shown(run_folder(workdir, member), member.name, lambda sentence: None)
    return by_path(params)


def test_each_is_trained_once_and_what_is_frozen_stays_that_of_its_own_seed(ended):
    folder, members = ended
    assert {one.name for one in (folder / "members").iterdir()} == {*RUN, "pretrained,seed=0", "pretrained,seed=1"}
    for member in members:
        assert outcome_of(folder, member).steps == 2 and outcome_of(folder, member.start).steps == 4
        assert read_json(run_folder(folder, member.start) / SUMMARY)["steps"] == 4
        if member.levels["tuning"] == "head":
            before, after = parameters(folder, member.start), parameters(folder, member)
            moved = {path for path in after if not np.array_equal(before[path], after[path])}
            assert moved == {"head/kernel", "head/bias"}


def test_time_and_memory_are_figures_and_less_moves_in_less_memory(ended):
    folder, members = ended
    full, head, same = (outcome_of(folder, member).figures for member in members)
    for member, figures in zip(members, (full, head, same), strict=True):
        assert figures[SECONDS] == read_json(run_folder(folder, member) / SUMMARY)[SECONDS]
    assert head[MEGABYTES] == same[MEGABYTES] < full[MEGABYTES]


def test_a_process_has_all_members_of_a_pretrained_run():
    groups = _by_run(asked().members)
    assert groups == [
        *(["tuning=full,seed=0", "tuning=head,seed=0"], ["tuning=scratch,seed=0"]),
        *(["tuning=full,seed=1", "tuning=head,seed=1"], ["tuning=scratch,seed=1"]),
    ]


def test_those_of_a_pretrained_run_that_fails_are_told_and_the_others_end(tmp_path):
    ablation = asked()
    lost = set_fields(ablation.pretrained, ["data.name=/no/such/file.txt"])
    ablation = dataclasses.replace(ablation, pretrained=lost, axes={**ablation.axes, "seed": (0,)})
    run_members(ablation, tmp_path, ablation.members, lambda: False)
    results = results_of(ablation, tmp_path)
    full, head, scratch = results.configurations
    assert scratch.figures[BITS].count == 1 and not scratch.failed
    for one in (full, head):
        (sentence,) = one.failed
        assert "pretrained,seed=0 failed: " in sentence and "/no/such/file.txt" in sentence


def test_members_of_other_pretrained_runs_are_not_trained_alike():
    base = asked().base
    pretrained = {"short": asked().pretrained, "long": set_fields(asked().pretrained, ["steps=8"])}
    made = Ablation({"short": base, "long": base}, {}, (Metric(BITS),), pretrained=pretrained)
    assert {name: run.name for name, run in trained_runs(made.members).items()} == {"short": "short", "long": "long"}


def test_changes_are_told_within_each_experiment_and_where_both_members_are(tmp_path):
    base = asked().pretrained
    axes = {"tuning": {"full": [], "head": ["steps=5"], "lora": {"b": ["steps=6"]}}, "seed": range(3)}
    made = Ablation({"a": base, "b": base}, axes, (Metric(BITS),), design=Design.EACH_EXPERIMENT)
    figures = {member.name: float(value) for member, value in zip(made.members, drawn(len(made.members)), strict=True)}
    for member in made.members:
        outcome = ablating.Outcome({BITS: figures[member.name]}, 1, 1.0)
        put(tmp_path / f"outcomes/{member.name}.json", json.dumps(dataclasses.asdict(outcome)))

    def difference(experiment, level):
        of = lambda tuning: [figures[f"{experiment},tuning={tuning},seed={seed}"] for seed in range(3)]  # noqa: E731
        return effect(of("full"), of(level))

    expected = {
        "a, tuning head over full": difference("a", "head"),
        "b, tuning head over full": difference("b", "head"),
        "b, tuning lora over full": difference("b", "lora"),
    }
    changes = {change.name: change for change in results_of(made, tmp_path).changes}
    assert {name: change.effect for name, change in changes.items()} == expected
    assert [change.p for change in changes.values()] == holm([one.p for one in expected.values()])

    # over the mean of the experiments that have both
    grid = {
        change.name: change for change in results_of(dataclasses.replace(made, design=Design.GRID), tmp_path).changes
    }
    assert grid["tuning lora over full"].effect == expected["b, tuning lora over full"]
    both = [expected[f"{name}, tuning head over full"].difference.mean for name in "ab"]
    assert grid["tuning head over full"].effect.difference.mean == pytest.approx(np.mean(both))


def drawn(count):
    return np.random.default_rng(0).normal(size=count)
