"""`--set`: every kind of field, the coercion table, choices of variants, and the sentence for every mistake."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxgen.families.toy import Adam, Cell, Constant, Experiment, Network, Norm, Sgd, Task, double

from jaxgen.config.changes import set_fields
from jaxgen.errors import UserError


def toy(**fields):
    return Experiment(Task(Network(), notes={"a": "b"}), {"generator": Adam(), "critic": Sgd(0.1)}, **fields)


def refusal(*settings, experiment=None):
    with pytest.raises(UserError) as caught:
        set_fields(experiment or toy(), settings)
    return str(caught.value)


def at(experiment, path):
    value = experiment
    for name in path.split("."):
        if isinstance(value, dict):
            value = value[name]
        else:
            value = value[int(name)] if isinstance(value, tuple) else getattr(value, name)
    return value


@pytest.mark.parametrize(
    "setting, value",
    [
        ("steps=64", 64),
        ("steps=1_000", 1000),
        ("steps=1e3", 1000),
        ("steps=-2.0", -2),
        ("task.weight=1e-3", 1e-3),
        ("task.weight=3", 3.0),
        ("task.weight=inf", math.inf),
        ("name=mnist", "mnist"),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("name=none", "none"),
        ("title=none", None),
        ("title=None", None),
        ("title=5", "5"),
        ("optimisers.generator.rate=1e-3", 1e-3),
        ("optimisers.generator.decay=0.1", 0.1),
        ("optimisers.generator.decay=none", None),
        ("optimisers.generator.betas=0,0.9", (0.0, 0.9)),
        ("optimisers.generator.betas.1=0.5", 0.5),
        ("optimisers.critic.nesterov=true", True),
        ("optimisers.critic.nesterov=Yes", True),
        ("optimisers.critic.nesterov=1", True),
        ("optimisers.critic.nesterov=0", False),
        ("optimisers.critic.nesterov=no", False),
        ("optimisers.critic.nesterov=FALSE", False),
        ("seeds=3,4", (3, 4)),
        ("seeds.0=9", 9),
        ("task.notes.a=c", "c"),
        ("task.network.width=128", 128),
        ("task.network.cell=gru", Cell.GRU),
        ("task.network.cell=Long Short-Term Memory", Cell.LSTM),
        ("task.network.norm=none", Norm.NONE),
        ("task.network.norm=0", Norm.NONE),
        ("task.network.widths=1,2,3", (1, 2, 3)),
        ("task.network.widths=(1e3, 2)", (1000, 2)),
        ("task.network.widths=7,", (7,)),
        ("task.network.widths=()", ()),
        ("task.network.widths=", ()),
        ("task.network.widths.1=3", 3),
        ("task.network.kernel=5", 5),
        ("task.network.kernel=3,5", (3, 5)),
        ("task.network.dtype=bfloat16", jnp.bfloat16),
        ("task.network.param_dtype=float16", jnp.float16),
        ("task.network.accumulate=float32", jnp.float32),
        ("task.network.activation=jax.nn.gelu", jax.nn.gelu),
        ("task.network.activation=flax.linen.silu", jax.nn.silu),
        ("task.network.activation=jaxgen.families.toy.double", double),
        ("task.network.bias_init=jax.nn.initializers.ones", nn.initializers.ones),
        ("task.network.scale=rmsnorm", nn.RMSNorm()),
        ("task.network.scale=none", None),
        ("average=Adam", Adam()),
        ("task.schedule=Adam", Adam()),
        ("task.schedule=constant", Constant()),
    ],
)
def test_a_word_becomes_the_declared_type(setting, value):
    changed = at(set_fields(toy(), [setting]), setting.partition("=")[0])
    assert changed == value
    assert type(changed) is type(value)


def test_only_the_named_field_changes():
    before = toy()
    after = set_fields(before, ["task.network.width=128"])
    expected = dataclasses.replace(before, task=dataclasses.replace(before.task, network=Network(width=128)))
    assert after == expected
    assert before == toy()


def test_nothing_set_is_the_same_experiment():
    experiment = toy()
    assert set_fields(experiment, []) is experiment


def test_the_last_word_for_a_field_holds():
    assert set_fields(toy(), ["steps=1", "steps=2"]).steps == 2


def test_settings_are_applied_together():
    # From (64, 4), neither (30, 4) nor (64, 5) divides; (30, 5) does.
    network = set_fields(toy(), ["task.network.width=30", "task.network.heads=5"]).task.network
    assert (network.width, network.heads) == (30, 5)


def test_a_variant_keeps_what_is_present_and_takes_fields_with_it():
    experiment = toy(average=Adam(rate=0.5))
    assert set_fields(experiment, ["average=adam"]).average == Adam(rate=0.5)
    changed = set_fields(experiment, ["optimisers.generator.rate=0.3", "optimisers.generator=Sgd"])
    assert changed.optimisers["generator"] == Sgd(0.3)
    assert set_fields(toy(), ["average=Adam", "average.betas.0=0.5"]).average == Adam(betas=(0.5, 0.999))
    inside = set_fields(experiment, ["optimisers.critic.nesterov=yes"]).optimisers["critic"]
    assert inside == Sgd(0.1, nesterov=True)


def test_an_entry_of_a_tuple_of_parts():
    experiment = toy(hooks=(Adam(), Adam(0.5)))
    assert set_fields(experiment, ["hooks.1.rate=2"]).hooks == (Adam(), Adam(2.0))


def test_a_linen_name_is_kept_and_flax_modules_of_every_kind_are_walked():
    experiment = toy()
    network = Network(head=nn.RNN(nn.LSTMCell(3), name="reader"))
    experiment = dataclasses.replace(experiment, task=Task(network))
    head = set_fields(experiment, ["task.network.head.cell.features=8", "task.network.head.reverse=true"])
    head = head.task.network.head
    assert (head.cell.features, head.reverse, head.name) == (8, True, "reader")


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_every_whole_number_comes_back(number):
    assert set_fields(toy(), [f"steps={number}"]).steps == number


@given(st.floats(min_value=0, allow_nan=False))
def test_every_number_comes_back(number):
    assert set_fields(toy(), [f"task.weight={number!r}"]).task.weight == number


@given(st.text())
def test_every_text_comes_back(text):
    assert set_fields(toy(), [f"name={text}"]).name == text


@given(st.lists(st.integers()))
def test_every_tuple_comes_back(numbers):
    word = ",".join(map(str, numbers))
    assert set_fields(toy(), [f"task.network.widths={word}"]).task.network.widths == tuple(numbers)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("steps", "--set steps: write FIELD=VALUE, such as --set steps=1000"),
        ("=3", "--set =3: write FIELD=VALUE, such as --set steps=1000"),
        ("stepz=3", "--set stepz=3: the experiment has no field 'stepz'; did you mean 'steps'?"),
        (
            "task.network.widht=64",
            "--set task.network.widht=64: task.network has no field 'widht'; did you mean 'width' or 'widths'?",
        ),
        (
            "optimisers.generater.rate=1",
            "--set optimisers.generater.rate=1: optimisers has no field 'generater'; did you mean 'generator'?",
        ),
        ("seeds.2=1", "--set seeds.2=1: seeds has no field '2'; known are '0', '1'"),
        ("steps..a=1", "--set steps..a=1: steps is 1000 and has no fields"),
        ("steps.a=1", "--set steps.a=1: steps is 1000 and has no fields"),
        ("average.rate=1", "--set average.rate=1: average is none and has no fields; choose --set average=Adam first"),
        (
            "task.network.head.features=1",
            "--set task.network.head.features=1: task.network.head is none and",
        ),
        ("steps=1.5", "--set steps=1.5: steps takes a whole number"),
        ("steps=inf", "--set steps=inf: steps takes a whole number"),
        ("steps=many", "--set steps=many: steps takes a whole number"),
        ("task.weight=big", "--set task.weight=big: task.weight takes a number"),
        ("task.weight=nan", "--set task.weight=nan: task.weight takes a number"),
        (
            "optimisers.critic.nesterov=maybe",
            "--set optimisers.critic.nesterov=maybe: optimisers.critic.nesterov takes true or false",
        ),
        (
            "optimisers.generator.decay=x",
            "--set optimisers.generator.decay=x: optimisers.generator.decay takes a number or none",
        ),
        ("task.network.cell=rnn", "--set task.network.cell=rnn: task.network.cell takes one of LSTM, GRU"),
        (
            "task.network.widths=1,b",
            "--set task.network.widths=1,b: task.network.widths takes values with commas between, each a whole number",
        ),
        ("seeds=1,2,3", "--set seeds=1,2,3: seeds takes 2 with commas between, each a whole number"),
        (
            "task.network.dtype=bfloat",
            "--set task.network.dtype=bfloat: task.network.dtype takes a dtype such as bfloat16",
        ),
        (
            "task.network.param_dtype=float",
            "--set task.network.param_dtype=float: task.network.param_dtype takes a dtype such as bfloat16",
        ),
        (
            "task.network.activation=os.system",
            "--set task.network.activation=os.system: task.network.activation takes a function such as jax.nn.gelu",
        ),
        (
            "task.network.activation=jaxgen.families.toy.system",
            "--set task.network.activation="
            "jaxgen.families.toy.system: task.network.activation takes a function such as jax.nn.gelu",
        ),
        (
            "task=3",
            "--set task=3: task is a whole Task, not one value; "
            "set one of its fields (task.network, task.weight, task.schedule, task.notes, task.anything)",
        ),
        (
            "optimisers.critic=3",
            "--set optimisers.critic=3: optimisers.critic is a whole Sgd, not one value; "
            "set one of its fields (optimisers.critic.rate, optimisers.critic.nesterov), or choose Adam in its place",
        ),
        (
            "optimisers=3",
            "--set optimisers=3: optimisers is a group, not one value; set one of its entries (generator, critic)",
        ),
        ("average=3", "--set average=3: average takes Adam or none"),
        (
            "task.network.scale=batch",
            "--set task.network.scale=batch: task.network.scale takes LayerNorm or RMSNorm or none",
        ),
        ("hooks=1,2", "--set hooks=1,2: hooks takes values with commas between, each Adam"),
        ("task.anything=3", "--set task.anything=3: task.anything has no plain type; change it in the experiment file"),
        ("task.schedule=Sgd", "--set task.schedule=Sgd: Sgd needs rate; add --set task.schedule.rate=..."),
        ("task.network.width=30", "--set task.network.width=30: task.network refuses: heads must divide width"),
        ("task.network.heads=0", "--set task.network.heads=0: task.network refuses: "),
        ("task.weight=-1", "--set task.weight=-1: task refuses: weight must not be negative"),
        ("derived=3", "--set derived=3: the experiment has no field 'derived'"),
        ("task.network.name=x", "--set task.network.name=x: task.network has no field 'name'"),
        ("task.network.parent=none", "--set task.network.parent=none: task.network has no field 'parent'"),
        ("task.network.__class__=none", "--set task.network.__class__=none: task.network has no field '__class__'"),
    ],
)
def test_every_mistake_gets_its_sentence(setting, message):
    found = refusal(setting)
    assert found.startswith(message)
    assert "\n" not in found


def test_a_refusal_quotes_every_setting_that_led_to_it():
    message = refusal("task.network.width=30", "task.network.heads=7", "steps=3")
    assert message.startswith("--set task.network.width=30 task.network.heads=7: task.network refuses: ")


def test_a_sequence_of_sequences_is_not_guessed():
    @dataclasses.dataclass(frozen=True)
    class Stages:
        stages: tuple[tuple[int, ...], ...] = ((1, 2), (3,))

    assert set_fields(Stages(), ["stages.0=5,6"]).stages == ((5, 6), (3,))
    assert "stages takes" in refusal("stages=1,2", experiment=Stages())


def test_a_field_of_any_type_keeps_the_present_ones():
    @dataclasses.dataclass(frozen=True)
    class Free:
        value: object

    for present, word, expected in [(3, "4", 4), (0.5, "1", 1.0), (True, "no", False), (Cell.GRU, "lstm", Cell.LSTM)]:
        assert set_fields(Free(present), [f"value={word}"]).value == expected
    assert set_fields(Free(np.dtype("int8")), ["value=int32"]).value == jnp.int32
