"""A layout covers every parameter, cuts what it can, and a step under it is the step of one device."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
import sampling
from jax import export

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.layout import Rule, check_layout, cut, rule_of
from jaxgen.core.masks import paths
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.running.estimate import shapes_of, traced_step
from jaxgen.training.evaluation import make_sampler
from jaxgen.training.parallel import Parallel
from jaxgen.training.step import init_state, make_game
from jaxgen.types import LOW_RANK, NO_PARTS
from tests.commands.command import CONFIGS, ROOT
from tests.families.cases import BATCH, DIGITS, KEY, every_case, parts_of, request_of, source_of, task_of
from tests.families.test_contract import optimisers_of
from tests.virtual_devices import on_devices

MESH = {"data": 1, "fsdp": 2, "tensor": 2}


@functools.cache
def assembly_of(config: str):
    experiment = load_experiment(ROOT / config, Experiment)
    return assemble(replace(experiment, start=None, parallel=Parallel(data=1, fsdp=2, tensor=2)))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_parameter_is_covered_and_its_moments_and_averages_lie_as_it_does(config):
    """By what each device really holds of the state's shapes."""
    assembly = assembly_of(config)
    state = jax.eval_shape(lambda key: assembly.init(key, None), assembly.key)
    layout = assembly.devices.layout(state)
    specs = dict(zip(paths(state.params), jax.tree.leaves(layout.params), strict=True))
    for tree, laid in ((state.opt_state, layout.opt_state), (state.averages, layout.averages)):
        for path, leaf, sharding in zip(paths(tree), jax.tree.leaves(tree), jax.tree.leaves(laid), strict=True):
            owner = max((own for own in specs if path.endswith(own)), key=len, default=None)
            if path.endswith("/ns_coeffs"):  # the coefficients of Muon's iterations, no parameter's
                assert leaf.shape == (3,) and sharding.is_fully_replicated
            elif leaf.ndim:
                assert owner is not None and sharding.spec == specs[owner].spec, path
    assert 0.25 <= assembly.devices.held(state.params) < 0.4  # of four devices; what does not come out even is whole


def test_a_parameter_that_no_rule_covers_is_named():
    with pytest.raises(UserError, match="covers the parameter block/scale; add one to its `layout`"):
        check_layout((Rule("kernel$", ("fsdp", "tensor")),), {"block": {"kernel": 0, "scale": 0}})


@pytest.mark.parametrize("config", ["transformer/digits", "diffusion/digits"])
def test_additions_of_low_rank_are_covered(config):
    assembly = assemble(set_fields(load_experiment(config, Experiment), ["task.network.low_rank=2"]))
    params = shapes_of(assembly).params
    assert any(LOW_RANK in path for path in paths(params))
    check_layout(assembly.task.layout(), params)


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        (("fsdp", "tensor"), (4, 6), ("fsdp", "tensor")),
        (("fsdp", "tensor"), (4, 5), ("fsdp", None)),
        (("fsdp", "tensor"), (3, 3, 4, 6), (None, None, "fsdp", "tensor")),
        (("fsdp", "tensor"), (6,), ("tensor",)),
        ((), (6, 2), (None, None)),
        (("tensor",), (), ()),
    ],
)
def test_the_last_dimensions_are_cut_where_they_come_out_even(axes, shape, expected):
    assert cut(axes, shape, MESH) == expected
    assert cut(axes, shape, {"fsdp": 1, "tensor": 1}) == (None,) * len(shape)


def test_the_first_rule_that_matches_counts():
    rules = (Rule("out/kernel$", ("tensor",)), Rule("kernel$", ("fsdp",)))
    assert rule_of(rules, "a/out/kernel").axes == ("tensor",) and rule_of(rules, "in/kernel").axes == ("fsdp",)


EIGHT = """
import sys
from tests.core.test_layout import *
from tests.families.test_contract import trained
from tests.families.test_precision_and_depth import task_with
import json, numpy as np
task, found = task_with(*sys.argv[1:]), []
for parallel in (Parallel(data=1), Parallel(data=2, fsdp=2, tensor=2)):
    metrics, params = trained(task, parallel, source_of(sys.argv[1]), eps=1.0)
    loss = {name: [float(step[name].value) for step in metrics] for name in metrics[0] if name.endswith("loss")}
    found.append((loss, [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(params)]))
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [*((family,) for family in DIGITS), ("transformer", "scan=true", "remat=FULL")])
def test_a_mesh_of_all_three_axes_takes_the_steps_of_one_device(wanted):
    """Law 2, the second step's loss included; an eps that lets Adam enlarge no rounding."""
    (one, params), (many, others) = on_devices(8, EIGHT, *wanted)
    for name, losses in one.items():
        np.testing.assert_allclose(many[name], losses, rtol=1e-6, err_msg=name)
    for a, b in zip(params, others, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)


@every_case
def test_the_step_and_the_sampler_lower_for_every_platform(family):
    lowers_everywhere(task_of(family), source_of(family), request_of(family, 4), parts_of(family))


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_the_step_and_the_sampler_of_every_config_lower_for_gpus_and_tpus(config):
    """As large as they are, from shapes alone."""
    experiment = load_experiment(ROOT / config, Experiment)
    lowers_for_accelerators(assemble(replace(experiment, start=None, parallel=Parallel(data=1))))


def lowers_for_accelerators(assembly):
    variables = jax.eval_shape(assembly.task.init, assembly.key).replace(parts=assembly.part_shapes)
    for platform in ("cuda", "tpu"):
        step = traced_step(assembly, shapes_of(assembly)).lower(lowering_platforms=(platform,))
        drawn = make_sampler(assembly.sample).trace(variables, sampling.request_of(assembly, 4), assembly.key)
        for lowered in (step, drawn.lower(lowering_platforms=(platform,))):
            assert len(lowered.as_text()) > 10_000


def lowers_everywhere(task, source, request, parts=NO_PARTS):
    """jax.export needs none of the hardware."""
    variables = jax.eval_shape(task.init, KEY).replace(parts=parts)
    game = make_game(task, variables.params, optimisers_of(task), {}, 4, BATCH)
    state = jax.eval_shape(lambda key: init_state(game, key, functools.partial(source.init, KEY)), KEY)
    platforms = ["cpu", "cuda", "tpu"]
    program = Parallel(data=1).place(BATCH, task.layout()).program(game, state, traced=True, loops=True)
    step = export.export(program, platforms=platforms)(state, source, jax.numpy.int32(1), parts)
    draw = export.export(jax.jit(task.sample), platforms=platforms)(variables, request, KEY)
    for exported in (step, draw):
        assert exported.platforms == tuple(platforms) and len(exported.mlir_module_serialized) > 10_000
