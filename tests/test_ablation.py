"""The members of an ablation are those that its design says, told apart, and each is what `--set` makes of the base."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.ablation import PRETRAINED, Ablation, Design, Elements, Flops, Metric, Seconds, Steps
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.start import Start
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment

BASE = load_experiment("rnn/digits", Experiment)
OTHER = load_experiment("transformer/digits", Experiment)
BOTH = {"rnn": BASE, "transformer": OTHER}
BITS = (Metric("bits_per_dim"),)
WIDTH, RATE = "task.network.width", "optimisers.likelihood.learning_rate.peak"


def test_a_grid_is_every_combination_seed_after_seed():
    found = Ablation(BASE, {WIDTH: (8, 16), "seed": range(2), RATE: (1e-3, 0.01)}, BITS).members
    assert [member.name for member in found] == [
        f"width={width},peak={rate},seed={seed}"
        for seed, width, rate in itertools.product((0, 1), (8, 16), ("0.001", "0.01"))
    ]
    last = found[-1]
    assert last.experiment == set_fields(BASE, [f"{WIDTH}=16", f"{RATE}=0.01", "seed=1"])
    assert last.levels == {WIDTH: "16", RATE: "0.01"} and last.seed == "1"


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_one_at_a_time_each_value_stands_beside_the_first_of_the_other_axes(sizes, seeds):
    axes = {f"axis{place}": {f"l{level}": () for level in range(size)} for place, size in enumerate(sizes)}
    made = Ablation(BASE, axes | {"seed": range(seeds)}, BITS, design=Design.ONE_AT_A_TIME)
    found = made.members
    assert len(found) == seeds * (1 + sum(size - 1 for size in sizes))
    assert all(sum(level != "l0" for level in member.levels.values()) <= 1 for member in found)
    changed = [f"axis{place}=l{level}" for place, size in enumerate(sizes) for level in range(1, size)]
    assert [member.name for member in found[: 1 + len(changed)]] == [f"{name},seed=0" for name in ("base", *changed)]


def test_several_experiments_are_an_axis_and_levels_may_set_several_fields():
    axes = {"size": {"small": ["data.batch_size=8", "steps=5"], "own": []}}
    found = Ablation(BOTH, axes, BITS).members
    assert [member.name for member in found] == [
        *("rnn,size=small", "rnn,size=own", "transformer,size=small", "transformer,size=own")
    ]
    assert found[0].experiment == set_fields(BASE, ["data.batch_size=8", "steps=5"]) and found[3].experiment == OTHER


@pytest.mark.parametrize("design", Design)
def test_a_level_may_differ_by_experiment_and_an_experiment_may_lack_it(design):
    """One change at a time is of the first experiment, and each other experiment has the first levels."""
    axes = {
        "tuning": {"full": [], "head": {"rnn": ["steps=5"], "transformer": ["steps=6"]}, "lora": {"rnn": ["steps=7"]}}
    }
    found = Ablation(BOTH, axes, BITS, design=design).members
    steps = {tuple(member.levels.values()): member.experiment.steps for member in found}
    of_rnn = {("rnn", "full"): BASE.steps, ("rnn", "head"): 5, ("rnn", "lora"): 7, ("transformer", "full"): OTHER.steps}
    assert steps == of_rnn | ({} if design is Design.ONE_AT_A_TIME else {("transformer", "head"): 6})


def test_a_level_may_be_a_function_that_is_called_before_all_fields_are_set():
    def longer(of: Experiment) -> Experiment:
        return dataclasses.replace(of, steps=10 * of.steps, seed=9)

    axes = {"seed": (3,), "length": {"own": [], "long": longer}, "size": {"small": {"rnn": ["data.batch_size=8"]}}}
    own, long = Ablation({"rnn": BASE}, axes, BITS).members
    assert own.experiment == set_fields(BASE, ["data.batch_size=8", "seed=3"])
    assert long.experiment == set_fields(BASE, ["data.batch_size=8", "seed=3", f"steps={10 * BASE.steps}"])
    with pytest.raises(UserError, match="a level's function gave a value of type NoneType; return an Experiment"):
        Ablation(BASE, {"length": {"none": lambda of: None}}, BITS)


STARTED = {name: dataclasses.replace(of, start=Start(PRETRAINED)) for name, of in BOTH.items()}
TUNING = {"tuning": {"tuned": [], "scratch": ["start=none"]}, "seed": range(2)}


def test_members_start_from_the_pretrained_run_of_their_experiment_and_seed():
    pretrained = {name: dataclasses.replace(of, steps=7) for name, of in BOTH.items()}
    made = Ablation(STARTED, TUNING, BITS, pretrained=pretrained)
    for member in made.members:
        if member.levels["tuning"] == "scratch":
            assert member.start is None
        else:
            name = member.levels["experiment"]
            assert member.start.name == f"pretrained,{name},seed={member.seed}"
            assert member.start.experiment == dataclasses.replace(pretrained[name], seed=int(member.seed))
    assert [start.name for start in made.starts] == [
        *("pretrained,rnn,seed=0", "pretrained,transformer,seed=0"),
        *("pretrained,rnn,seed=1", "pretrained,transformer,seed=1"),
    ]
    one = Ablation(STARTED, TUNING, BITS, pretrained=BASE)
    assert [start.name for start in one.starts] == ["pretrained,seed=0", "pretrained,seed=1"]


@pytest.mark.parametrize(
    ("base", "axes", "more", "sentence"),
    [
        (BOTH, {"x": {"a": {"rn": []}}}, {}, "the level 'a' of 'x' is given for 'rn', which .*; did you mean 'rnn'?"),
        (BASE, {"x": {"a": {"rnn": []}}}, {}, "for 'rnn', which is no .*; base is one experiment without a name"),
        (STARTED, {}, {"pretrained": {"gan": BASE}}, "pretrained is given for 'gan', which is no experiment of base"),
        (STARTED, {}, {"pretrained": {"rnn": BASE}}, "a member of transformer starts from PRETRAINED; give `pretr"),
        (STARTED, {}, {}, "a member starts from PRETRAINED; give `pretrained` the experiment of that run"),
        (BOTH, {}, {"pretrained": BASE}, "no member starts from `pretrained`"),
        (BASE, {}, {"design": Design.EACH_EXPERIMENT}, "EACH_EXPERIMENT is for several experiments; give base as"),
    ],
)
def test_mistakes_about_several_experiments_are_told_in_a_sentence(base, axes, more, sentence):
    with pytest.raises(UserError, match=sentence):
        Ablation(base, axes, BITS, **more)


@pytest.mark.parametrize(
    ("axes", "metrics", "sentence"),
    [
        ({"task.network.widht": (8, 16)}, BITS, r"the axis value task.network.widht=8: .* did you mean 'width'"),
        ({WIDTH: ()}, BITS, "the axis 'task.network.width' has no values; give it one or more"),
        ({WIDTH: (8, "wide")}, BITS, r"the axis value task.network.width=wide: .* takes a whole number"),
        ({WIDTH: (8, 8)}, BITS, "two members are both called width=8"),
        ({"a.name": {"a/b": (), "a b": ()}}, BITS, "two members are both called name=a_b"),
        ({WIDTH: (8,)}, (), r"metrics is \(\); give one or more"),
        ({WIDTH: (8,)}, ("bits_per_dim",), "give one or more, as"),
        ({WIDTH: (8,)}, BITS[0], "give one or more, as"),
        ({WIDTH: "64"}, BITS, "the axis 'task.network.width' is '64'; give a list of values"),
        ({"seed": 3}, BITS, "the axis 'seed' is 3; give a list of values"),
        ({"seed": {0: [], 1: []}}, BITS, "the axis 'seed' has a level 0; name levels by words, as '0'"),
        ({"seed": {"a": {"rnn": []}}}, BITS, "the seed 'a' differs by experiment"),
        ({"x": {"y" * 200: ()}}, BITS, "name levels more shortly"),
    ],
)
def test_mistakes_are_told_in_a_sentence(axes, metrics, sentence):
    with pytest.raises(UserError, match=sentence):
        Ablation(BASE, axes, metrics)


@pytest.mark.parametrize(
    ("base", "axes", "more", "sentence"),
    [
        ({}, {}, {}, "base is no experiment; give one, or several by name"),
        ({1: BASE}, {}, {}, "base is no experiment; give one, or several by name"),
        (BASE, ["seed"], {}, r"axes is \['seed'\]; give \{field: values\}"),
        (BASE, {}, {"design": "one at a time"}, "design is 'one at a time'; give one of Design.GRID, "),
        (BASE, {}, {"budget": 200}, r"budget is 200; give one of Steps\(...\), "),
        (BASE, {}, {"early": 500}, r"early is 500; give one of MedianStopping\(...\), "),
        (BASE, {"steps": (1, 2)}, {"budget": Steps(3)}, "'steps' and a budget both say"),
        (BOTH, {"x": {"a": [], "b": {"transformer": []}}}, {"design": Design.ONE_AT_A_TIME}, "no member has the level"),
        (BOTH, {"x": {"a": {}}}, {}, "no member has the level"),
    ],
)
def test_fields_of_another_kind_and_levels_that_nothing_runs_are_told(base, axes, more, sentence):
    with pytest.raises(UserError, match=sentence):
        Ablation(base, axes, BITS, **more)


@pytest.mark.parametrize("budget", [Steps, Elements, Flops, Seconds])
def test_a_budget_of_nothing_is_told(budget):
    for amount in (0, -1, float("nan"), float("inf"), "9"):
        with pytest.raises(UserError, match="give a"):
            budget(amount)


def test_axes_with_one_last_part_are_called_by_more_of_theirs():
    gan = load_experiment("gan/digits", Experiment)
    rates = {f"optimisers.{player}.learning_rate.peak": (1e-3, 1e-4) for player in ("generator", "discriminator")}
    found = Ablation(gan, rates | {"data.batch_size": (8,)}, BITS).members[1]
    assert found.name == "generator.learning_rate.peak=0.001,discriminator.learning_rate.peak=0.0001,batch_size=8"


EXPERIMENTS = sorted((Path(__file__).resolve().parents[1] / "experiments").glob("*/run.py"))
SHIPPED = [path for path in EXPERIMENTS if "def ablation" in path.read_text()]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_ablation_sets_fields_that_there_are_and_says_its_command(path):
    made = load_experiment(path, Ablation, "ablation")
    assert len(made.seeds) >= 3 and len(made.members) == len({member.name for member in made.members})
    assert f"jaxgen ablate --config experiments/{path.parent.name}/run.py" in path.read_text()
