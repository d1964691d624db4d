"""experiment.json: there and back for every value, byte-stable strict JSON, and a sentence for what cannot go in."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxgen.families.toy import Adam, Cell, Constant, Experiment, Network, Norm, Sgd, Task

from jaxgen.config.document import from_document, to_document
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.families import toy


def there_and_back(experiment):
    return from_document(json.loads(json.dumps(to_document(experiment), allow_nan=False)))


def holding(value):
    return Task(Network(), anything=value)


numbers = st.floats(allow_nan=False)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    numbers,
    st.text(),
    st.sampled_from([*Cell, *Norm]),
    st.sampled_from([jnp.float32, jnp.bfloat16, jnp.int8, jnp.bool_, jnp.complex64, jnp.float8_e4m3fn]),
    st.sampled_from(
        [nn.relu, nn.silu, nn.tanh, jax.nn.gelu, nn.initializers.zeros, nn.max_pool, toy.double, toy.triple]
    ),
    st.sampled_from([Constant(), nn.Dense(3, use_bias=False), nn.RMSNorm(), nn.LSTMCell(4), nn.RNN(nn.GRUCell(2))]),
    st.builds(Adam, numbers, st.tuples(numbers, numbers), st.none() | numbers),
    st.builds(Sgd, numbers, st.booleans()),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=3),
        st.builds(lambda value: nn.Sequential((value,)), inner),
        inner.map(holding),
    ),
    max_leaves=8,
)


def kinds(value):
    """The types all the way down, since (1, 2.0, True) == (1.0, 2, 1) would hide a changed one."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hidden = ("parent", "name") if isinstance(value, nn.Module) else ()
        inner = [getattr(value, field.name) for field in dataclasses.fields(value) if field.name not in hidden]
        return type(value), [kinds(entry) for entry in inner]
    if isinstance(value, dict):
        return dict, [(key, kinds(entry)) for key, entry in value.items()]
    return (type(value), [kinds(entry) for entry in value]) if isinstance(value, list | tuple) else type(value)


@settings(max_examples=300, deadline=None)
@given(values)
def test_there_and_back(value):
    experiment = Experiment(holding(value), {"generator": Adam()})
    back = there_and_back(experiment)
    assert back == experiment
    assert kinds(back) == kinds(experiment)
    assert json.dumps(to_document(back)) == json.dumps(to_document(experiment))


def test_not_a_number_and_signed_zero_come_back():
    assert repr(there_and_back(holding((float("nan"), -0.0, float("-inf")))).anything) == "(nan, -0.0, -inf)"


def test_every_dtype_of_jax_comes_back_as_the_scalar_type():
    scalars = {value for value in vars(jnp).values() if isinstance(value, type(jnp.float32))}
    back = there_and_back(holding(tuple(scalars))).anything
    assert back == tuple(scalars)
    assert len(scalars) > 20
    assert there_and_back(holding(np.float32)).anything is jnp.float32
    assert there_and_back(holding(np.dtype("int8"))).anything is jnp.int8


def test_every_flax_module_class_comes_back_by_its_public_name():
    document = to_document(holding(nn.Conv(8, (3, 3))))["fields"]["anything"]
    assert document["type"] == "flax.linen.Conv"
    # The default of kernel_init is a function without a name: left out, it comes back as the default that it is.
    assert "kernel_init" not in document["fields"]
    assert there_and_back(nn.Conv(8, (3, 3))).kernel_init is nn.Conv.kernel_init


def test_the_form_is_readable_and_in_declared_order():
    document = to_document(Experiment(Task(nn.Dense(2)), {"b": Sgd(0.1), "a": Adam(float("inf"))}, hooks=(Adam(),)))
    assert document["type"] == "jaxgen.families.toy.Experiment"
    names = ["task", "optimisers", "steps", "seeds", "hooks", "average", "name", "title"]
    assert list(document["fields"]) == names  # `derived` is no description: it follows from the others
    assert list(document["fields"]["optimisers"]["dict"]) == ["b", "a"]
    assert document["fields"]["optimisers"]["dict"]["b"] == {
        "type": "jaxgen.families.toy.Sgd",
        "fields": {"rate": 0.1, "nesterov": False},
    }
    assert document["fields"]["optimisers"]["dict"]["a"]["fields"]["rate"] == {"float": "inf"}
    assert to_document(holding(Cell.GRU))["fields"]["anything"] == {"type": "jaxgen.families.toy.Cell", "member": "GRU"}
    assert to_document(holding(nn.relu))["fields"]["anything"] == {"function": "jax.nn.relu"}
    assert to_document(holding(nn.initializers.zeros))["fields"]["anything"] == {
        "function": "jax.nn.initializers.zeros"
    }


def test_a_dict_that_looks_like_the_form_stays_a_dict():
    hostile = {"type": "os.system", "fields": {"a": (1,)}, "dict": {"list": [2]}}
    assert there_and_back(holding(hostile)).anything == hostile


@pytest.mark.parametrize(
    "value, name",
    [
        (object(), "object"),
        (np.zeros(2), "ndarray"),
        ({1: 2}, "dict"),
        ({1}, "set"),
        (1j, "complex"),
        (Adam, "type"),
        (functools.partial(nn.relu), "partial"),
        (Adam().__eq__, "method"),
        (np.dtype("S3"), "BytesDType"),
        (np.dtype(">f4"), "Float32DType"),
    ],
)
def test_what_a_file_cannot_hold(value, name):
    with pytest.raises(
        UserError, match=r"^task.anything.1 holds a .*, which experiment.json cannot: use a frozen"
    ) as caught:
        to_document(Experiment(holding((0, value)), {}))
    assert name in str(caught.value)


def test_a_function_with_values_inside_is_refused_for_two_of_them_would_look_alike():
    with pytest.raises(UserError, match=r"^kernel_init holds .*, a function with values of its own inside"):
        to_document(nn.Dense(3, kernel_init=nn.initializers.normal(0.02)))


def test_a_function_without_source_is_refused():
    with pytest.raises(UserError, match=r"^anything holds len, whose source cannot be found"):
        to_document(holding(len))


def test_a_linen_name_is_refused():
    with pytest.raises(UserError, match=r"^network has Linen's name 'head', which experiment.json leaves out"):
        to_document(Task(nn.Dense(3, name="head")))


USERS = '''"""A user's file."""
import dataclasses
import enum
from jaxgen.families.toy import Network, Task

class Mode(enum.Enum):
    HARD = 1

@dataclasses.dataclass(frozen=True)
class Judge:
    strictness: float = 0.5

def reward(text):
    return len(text)

def experiment():
    return Task(Network(), anything=VALUE)
'''


def users_document(tmp_path, value, text=USERS):
    (tmp_path / "mine.py").write_text(text.replace("VALUE", value))
    return to_document(load_experiment(tmp_path / "mine.py", Task))["fields"]["anything"]


@pytest.mark.parametrize(
    "value, entry, rest",
    [
        ("Judge(0.7)", "mine.py:Judge", {"fields": {"strictness": 0.7}}),
        ("Mode.HARD", "mine.py:Mode", {"member": "HARD"}),
        ("reward", "mine.py:reward", {}),
        ("lambda text: 0", "mine.py:experiment.<locals>.<lambda>", {}),
    ],
)
def test_a_users_own_code_stands_as_a_reference_and_needs_its_file_again(tmp_path, value, entry, rest):
    document = users_document(tmp_path, value)
    assert document == {"user": entry, "sha256": document["sha256"], **rest}
    assert len(document["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(document)
    whole = to_document(Experiment(holding(None), {}))
    whole["fields"]["task"]["fields"]["anything"] = document
    with pytest.raises(UserError) as caught:
        from_document(whole)
    mend = "which experiment.json cannot hold; pass the experiment file again (--config FILE)"
    assert str(caught.value) == f"experiment.json, task.anything is {entry}, {mend}"


def test_the_hash_follows_the_source_of_the_thing_alone(tmp_path):
    first = users_document(tmp_path, "Judge()")
    assert users_document(tmp_path, "Judge()", USERS.replace("len(text)", "3")) == first
    assert users_document(tmp_path, "Judge()", USERS.replace("strictness: float", "strictness: int")) != first


def test_other_packages_are_references_too():
    assert to_document(holding(jnp.sin))["fields"]["anything"]["user"] == "jax.numpy:sin"
    assert to_document(holding(toy._hidden))["fields"]["anything"]["user"] == "jaxgen.families.toy:_hidden"
    assert to_document(holding(toy._Private()))["fields"]["anything"]["user"] == "jaxgen.families.toy:_Private"
    assert to_document(holding(toy.Outer.Inner()))["fields"]["anything"]["user"] == "jaxgen.families.toy:Outer.Inner"


def test_a_field_written_by_no_older_version_takes_its_default():
    document = to_document(Adam(rate=0.5))
    del document["fields"]["betas"]
    assert from_document(document) == Adam(rate=0.5)


def refusal(document):
    with pytest.raises(UserError) as caught:
        from_document(document)
    return str(caught.value)


def test_fields_of_another_version():
    document = to_document(Experiment(holding(Sgd(0.1)), {}))
    sgd = document["fields"]["task"]["fields"]["anything"]["fields"]
    sgd["nesterow"] = sgd.pop("nesterov")
    message = "task.anything: Sgd has no field 'nesterow' in this version of jaxgen; did you mean 'nesterov'?"
    assert refusal(document) == f"experiment.json, {message}"
    del sgd["nesterow"], sgd["rate"]
    assert refusal(document) == "experiment.json, task.anything: Sgd needs rate, which the file lacks"
    assert "no member 'GRV'; did you mean 'GRU'?" in refusal(
        anything({"type": "jaxgen.families.toy.Cell", "member": "GRV"})
    )


def anything(value):
    document = to_document(holding(None))
    document["fields"]["anything"] = value
    return document


def test_a_values_own_check_speaks():
    document = to_document(holding(None))
    document["fields"]["network"]["fields"]["width"] = 30
    assert refusal(document) == "experiment.json, network: Network refuses: heads must divide width"
    document["fields"]["network"]["fields"]["width"] = "30"
    assert refusal(document).startswith("experiment.json, network: Network refuses: not all arguments converted")


def part(name, **fields):
    return {"type": name, "fields": fields}


@pytest.mark.parametrize(
    "hostile",
    [
        part("os.system", command="true"),
        part("os.path.os.system"),
        part("subprocess.Popen", args=["true"]),
        part("builtins.eval"),
        part("eval"),
        part(""),
        part("."),
        part("jaxgen"),
        part("jaxgen."),
        part(".jaxgen.families.toy.Adam"),
        part("jaxgenevil.Adam"),
        part("jaxgen.families.toy.os.system"),
        part("jaxgen.families.toy.os"),
        part("jaxgen.families.toy.system"),
        part("jaxgen.families.toy.remove"),
        part("jaxgen.families.toy.Any"),
        part("jaxgen.families.toy.UserError"),
        part("jaxgen.families.toy.Alias"),
        part("jaxgen.families.toy.Dense", features=3),
        part("jaxgen.families.toy.Partitioned", value=1, names=[]),
        part("jaxgen.families.toy.Plain"),
        part("jaxgen.families.toy._Private"),
        part("jaxgen.families.toy.Outer.Inner"),
        part("jaxgen.families.toy.double"),
        part("jaxgen.families.toy.nn.Dense", features=3),
        part("jaxgen.families.toy.__builtins__"),
        part("jaxgen.families.toy.__loader__"),
        part("jaxgen.families.toy.Adam.__init__"),
        part("jaxgen.families.toy.Adam.__class__"),
        part("jaxgen.families.toy.Adam "),
        part("jaxgen.families.toy.Adam\n"),
        part("jaxgen.families..toy.Adam"),
        part("jaxgen/families/toy.Adam"),
        part("jaxgen.no_such_room.Adam"),
        part("jaxgen.families.toy.Adamm"),
        part("jaxgen.__main__.Adam"),
        part("jaxgen.config.names.importlib.import_module"),
        part("jaxgen.config.reading.Path"),
        part("jaxgen.config.reading.MODULE_PREFIX"),
        part("jaxgen.errors.UserError"),
        part("jaxgen.families.toy.Cell"),
        part("flax.linen.Module.__init__"),
        part("flax.linen.relu"),
        part("flax.linen.FrozenDict"),
        part("flax.linen.LogicallyPartitioned"),
        part("flax.linen.linear.Dense", features=3),
        part("flax.linen.module.os"),
        part("flax.core.FrozenDict"),
        part("flax.training.train_state.TrainState"),
        part("jax.nn.initializers.Initializer"),
        part("numpy.ndarray"),
        part("experiment file mine.py.Judge"),
        part(3),
        part(None),
        part(["jaxgen.families.toy.Adam"]),
        {"type": "jaxgen.families.toy.Adam", "fields": [1]},
        {"type": "jaxgen.families.toy.Adam", "fields": {"__class__": 1}},
        {"type": "jaxgen.families.toy.Adam", "fields": {"__dict__": 1}},
        {"type": "jaxgen.families.toy.Experiment", "fields": {"task": 1, "optimisers": 2, "derived": 3}},
        {"type": "flax.linen.Dense", "fields": {"features": 3, "parent": None}},
        {"type": "flax.linen.Dense", "fields": {"features": 3, "name": "x"}},
        {"type": "jaxgen.families.toy.Adam"},
        {"type": "jaxgen.families.toy.Adam", "fields": {}, "more": 1},
        {"type": "jaxgen.families.toy.Adam", "fields": {}, "function": "jax.nn.relu"},
        {"type": "jaxgen.families.toy.Adam", "member": "rate"},
        {"type": "jaxgen.families.toy.Cell", "member": "__class__"},
        {"type": "jaxgen.families.toy.Cell", "member": "mro"},
        {"type": "jaxgen.families.toy.Cell", "member": 1},
        {"type": "jaxgen.families.toy.Precision", "member": "HIGH"},
        {"type": "jaxgen.families.toy.enum.Enum", "member": "x"},
        {"type": "jax.lax.Precision", "member": "HIGH"},
        {"function": "os.system"},
        {"function": "eval"},
        {"function": "builtins.eval"},
        {"function": "jax.nn"},
        {"function": "jax.nn.__builtins__.eval"},
        {"function": "jax.nn.__builtins__"},
        {"function": "jax.nn.__loader__.load_module"},
        {"function": "jax.nn.initializers"},
        {"function": "jax.nn.initializers.Initializer"},
        {"function": "jax.nn.no_such_function"},
        {"function": "jax.numpy.save"},
        {"function": "jax.numpy.sin"},
        {"function": "jax.nn.relu.__wrapped__"},
        {"function": "flax.linen.Dense"},
        {"function": "flax.linen.module.os.system"},
        {"function": "flax.linen.summary.io.open"},
        {"function": "jaxgen.families.toy.os.system"},
        {"function": "jaxgen.families.toy.system"},
        {"function": "jaxgen.families.toy.remove"},
        {"function": "jaxgen.families.toy.write_whole"},
        {"function": "jaxgen.families.toy._hidden"},
        {"function": "jaxgen.families.toy.half"},
        {"function": "jaxgen.families.toy.Adam"},
        {"function": "jaxgen.families.toy.Adam.__init__"},
        {"function": "jaxgen.families.toy.double.__globals__"},
        {"function": "jaxgen.families.toy.annotations"},
        {"function": "jaxgen.atomic_write.write_whole"},
        {"function": "jaxgen.config.reading.load_experiment"},
        {"function": "jaxgen.config.names.find_type"},
        {"function": 3},
        {"function": None},
        {"dtype": "float"},
        {"dtype": "bool_"},
        {"dtype": "ndarray"},
        {"dtype": "__builtins__"},
        {"dtype": "object"},
        {"dtype": 3},
        {"float": "1e5"},
        {"float": "NaN"},
        {"float": 1.0},
        {"list": 3},
        {"dict": [1]},
        {"user": 3},
        {"user": "os:system", "sha256": ""},
        {},
        {"eval": "1"},
    ],
    ids=str,
)
def test_a_hostile_document_is_refused(hostile):
    assert refusal(anything(hostile)).startswith("experiment.json, anything")
    assert refusal(anything([hostile])).startswith("experiment.json, anything.0")
    if isinstance(hostile, dict):
        assert "experiment.json" in refusal(hostile)


def test_refusing_imports_nothing(tmp_path, monkeypatch):
    for name in ("trap.py", "jaxgentrap.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("trap.Adam", "jaxgentrap.Adam", "jaxgen.trap.Adam", "jaxgen.families.toy.trap.Adam"):
        refusal(part(name))
        refusal(anything({"function": name}))


def test_what_a_library_imports_cannot_be_borrowed(monkeypatch):
    monkeypatch.setattr(jax.nn, "system", toy.system, raising=False)
    assert "'jax.nn.system' is no function of jax.nn" in refusal(anything({"function": "jax.nn.system"}))


@pytest.mark.parametrize("document", [None, 3, "x", [], [{"fields": {}}], {}, {"list": []}, {"dict": {"fields": 1}}])
def test_what_is_no_experiment_at_all(document):
    assert refusal(document).startswith("experiment.json does not hold an experiment; pass the experiment file again")


def test_a_document_without_end():
    document = None
    for _ in range(10_000):
        document = [document]
    assert refusal(anything(document)) == "experiment.json is nested too deeply to be an experiment"


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(["jaxgen.families.toy.Adam", "jax.nn.relu", "inf"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["type", "fields", "member", "function", "dict", "rate"]), inner, max_size=3
            )
        ),
        max_leaves=6,
    )
)
def test_any_document_is_an_experiment_or_a_users_error(document):
    try:
        from_document(anything(document))
    except UserError as error:
        assert "experiment.json" in str(error)
