"""The patterns of docs/fine_tuning.md let move, of the experiments that they are for, just what the page says."""
# SPDX-License-Identifier: Apache-2.0

import re
from functools import cache

import jax
import pytest

from jaxgen.config.reading import load_experiment
from jaxgen.core.masks import Matching, by_path
from jaxgen.experiment import Experiment
from tests.docs.runner import ROOT
from tests.given import pictures

SPECS = {
    "gan/digits": pictures((8, 8, 1), 17, 10),
    "gan/mnist": pictures((28, 28, 1), 256, 10),
    "gan/cifar10": pictures((32, 32, 3), 256, 10),
    "vae/digits": pictures((8, 8, 1), 17, 10),
    "vae/hierarchical": pictures((28, 28, 1), 2),
}
_ROW = re.compile(r"^\| ([^|]+) \| `([a-z]+/[a-z0-9]+)` \| `(.+)` \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """What, experiment and pattern of each row."""
    page = (ROOT / "docs" / "fine_tuning.md").read_text(encoding="utf-8")
    return [(what, name, pattern.replace(r"\|", "|")) for what, name, pattern in _ROW.findall(page)]


@cache
def layers(name: str) -> tuple[str, ...]:
    """The paths of an experiment's parameters."""
    task = load_experiment(name, Experiment).task.sized(SPECS[name])
    return tuple(by_path(jax.eval_shape(task.init, jax.random.key(0)).params))


def below(path: str, *places: str) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def stages(player: str, numbers: dict[str, list[int]]) -> list[str]:
    return [f"{player}/{layer}_{number}" for layer, each in numbers.items() for number in each]


# what stays, or of the last generator stages and the top levels what moves, of each experiment
FREEZE_D = {
    "gan/digits": ["discriminator/from_picture", "discriminator/Block_0"],
    "gan/mnist": stages("discriminator", {"Dense": [0, 1], "Block": [0, 1]}),
    "gan/cifar10": stages("discriminator", {"Dense": [0, 1, 2], "Block": [0, 1, 2]}),
}
LAST_STAGE = {
    "gan/digits": ["generator/Block_1", "generator/to_picture"],
    "gan/mnist": ["generator/to_stage_1", "generator/Block_2", "generator/to_picture"],
    "gan/cifar10": ["generator/to_stage_2", "generator/Block_3", "generator/to_picture"],
}
DECODER = {"vae/digits": ["decoder", "prior"], "vae/hierarchical": ["decoder"]}
TOP = {"vae/hierarchical": [f"encoder/block_0_{n}" for n in range(2)]
       + [f"decoder/block_0_{n}" for n in range(4)] + ["decoder/first"]}  # fmt: skip


@pytest.mark.parametrize(("what", "name", "pattern"), rows())
def test_a_pattern_lets_move_what_the_page_says(what, name, pattern):
    every = layers(name)
    moving = {path for path in every if Matching(pattern).matches(path)}
    if what == "FreezeD":
        expected = {path for path in every if not below(path, *FREEZE_D[name])}
    elif what == "the last stage of the generator":
        expected = {path for path in every if below(path, "discriminator", *LAST_STAGE[name])}
    elif what == "the decoder and its prior":
        expected = {path for path in every if below(path, *DECODER[name])}
        expected -= {path for path in every if "/posterior/" in path}  # which belongs to the encoder's side
    else:
        assert what == "the top levels"
        expected = {path for path in every if below(path, *TOP[name])}
    assert moving == expected and 0 < len(moving) < len(every)


def test_the_page_has_a_pattern_for_each():
    found = {(what, name) for what, name, _ in rows()}
    kinds = {"FreezeD": FREEZE_D, "the last stage of the generator": LAST_STAGE, "the decoder and its prior": DECODER}
    assert found == {(what, name) for what, names in (kinds | {"the top levels": TOP}).items() for name in names}


def test_the_first_layers_of_a_discriminator_are_nearest_to_the_picture():
    """Which numbers a discriminator's stages have: the finest grid's first, as FreezeD's patterns take them."""
    discriminator = load_experiment("gan/cifar10", Experiment).task.discriminator
    shapes = jax.eval_shape(discriminator.init, jax.random.key(0), jax.numpy.zeros((1, 32, 32, 3)), None)["params"]
    widths = [shapes[f"Dense_{stage}"]["kernel"].shape for stage in range(3)]
    assert widths == [(3 * 2**2, 48), (48, 128), (128, 128)]  # squares of 2x2 pixels, then features of features
