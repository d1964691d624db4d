"""Differences between experiments: one line a field, none between equals, also for a user's own code."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import flax.linen as nn
import jax.numpy as jnp
import pytest
from jaxgen.families.toy import Adam, Experiment, Network, Sgd, Task

from jaxgen.config.changes import set_fields
from jaxgen.config.comparison import differences
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment


def toy(**fields):
    return Experiment(Task(Network()), {"generator": Adam(rate=0.0002), "critic": Sgd(0.1)}, **fields)


@pytest.mark.parametrize(
    "settings, lines",
    [
        ([], []),
        (["optimisers.generator.rate=1e-3"], ["optimisers.generator.rate: 0.0002 -> 0.001"]),
        (["steps=5", "name=mnist"], ["steps: 1000 -> 5", "name: 'toy' -> 'mnist'"]),
        (["task.network.cell=gru"], ["task.network.cell: LSTM -> GRU"]),
        (["task.network.dtype=bfloat16"], ["task.network.dtype: float32 -> bfloat16"]),
        (["task.network.activation=jax.nn.gelu"], ["task.network.activation: jax.nn.relu -> jax.nn.gelu"]),
        (["task.network.widths=64,128"], ["task.network.widths: (64, 64) -> (64, 128)"]),
        (["task.weight=inf"], ["task.weight: 1.0 -> inf"]),
        (["optimisers.critic.nesterov=yes"], ["optimisers.critic.nesterov: false -> true"]),
        (["average=Adam"], ["average: none -> jaxgen.families.toy.Adam"]),
        (
            ["optimisers.critic=Adam"],
            ["optimisers.critic: jaxgen.families.toy.Sgd -> jaxgen.families.toy.Adam"],
        ),
    ],
)
def test_a_line_a_field(settings, lines):
    assert differences(toy(), set_fields(toy(), settings)) == lines


def test_entries_of_groups_and_sequences():
    more = dataclasses.replace(toy(), optimisers=toy().optimisers | {"prior": Adam()})
    assert differences(toy(), more) == ["optimisers.prior: unset -> jaxgen.families.toy.Adam"]
    assert differences(more, toy()) == ["optimisers.prior: jaxgen.families.toy.Adam -> unset"]
    hooks = toy(hooks=(Adam(), Adam())), toy(hooks=(Adam(), Adam(0.5)))
    assert differences(*hooks) == ["hooks.1.rate: 0.001 -> 0.5"]
    assert differences(toy(), hooks[0]) == ["hooks: () -> (jaxgen.families.toy.Adam, jaxgen.families.toy.Adam)"]
    task = dataclasses.replace(toy().task, anything=[1, 2])
    assert differences(toy().task, task) == ["anything: none -> [1, 2]"]


def test_the_stored_document_compares_with_the_experiment():
    stored = json.loads(json.dumps(to_document(toy())))
    assert differences(stored, toy()) == []
    assert differences(stored, toy(steps=3)) == ["steps: 1000 -> 3"]


def test_a_field_that_an_older_version_did_not_write_counts_as_its_default():
    stored = to_document(toy())
    del stored["fields"]["steps"], stored["fields"]["task"]["fields"]["network"]["fields"]["dtype"]
    assert differences(stored, toy()) == []
    assert differences(stored, toy(steps=3)) == ["steps: 1000 -> 3"]
    other = set_fields(toy(), ["task.network.dtype=float16"])
    assert differences(stored, other) == ["task.network.dtype: float32 -> float16"]


def test_a_default_function_without_a_name_is_unset():
    first, second = nn.Dense(3), nn.Dense(3, kernel_init=nn.initializers.zeros, dtype=jnp.float32)
    assert differences(first, second) == [
        "dtype: none -> float32",
        "kernel_init: unset -> jax.nn.initializers.zeros",
    ]


def test_other_experiments_altogether():
    assert differences(Adam(), Sgd(0.1)) == ["the experiment: jaxgen.families.toy.Adam -> jaxgen.families.toy.Sgd"]


def test_a_users_own_code(tmp_path):
    text = '''"""A user's file."""
import dataclasses, enum
from jaxgen.families.toy import Network, Task

class Mode(enum.Enum):
    A = 1
    B = 2

@dataclasses.dataclass(frozen=True)
class Judge:
    mode: Mode
    strictness: float = 0.5

    def __call__(self, text):
        return len(text)

def reward(text):
    return 1

def experiment():
    return Task(Network(), anything=(Judge(Mode.A), reward))
'''

    def load(old="", new=""):
        (tmp_path / "mine.py").write_text(text.replace(old, new))
        return to_document(load_experiment(tmp_path / "mine.py", Task))

    first = load()
    assert differences(first, load()) == []
    assert differences(first, load("Mode.A)", "Mode.A, 0.7)")) == ["anything.0.strictness: 0.5 -> 0.7"]
    assert differences(first, load("Mode.A)", "Mode.B)")) == ["anything.0.mode: A -> B"]
    changed = "anything.0: the source of mine.py:Judge has changed"
    assert differences(first, load("len(text)", "3")) == [changed]
    changed = "anything.1: the source of mine.py:reward has changed"
    assert differences(first, load("return 1", "return 2")) == [changed]
