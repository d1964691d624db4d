"""Parameters gathered as they are read: losses, gradients and samples of one device, and nowhere a whole model."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import pytest

from tests.families.cases import DIGITS
from tests.virtual_devices import on_devices

FAMILIES = [family for family in DIGITS if family != "diffusion-unet"]  # as many minutes as all others together
MESHES = [  # of one, two and three axes, over two, four and eight devices; with fsdp=1 nothing is gathered
    f"{data}x{fsdp}x{tensor}"
    for data, fsdp, tensor in itertools.product((1, 2, 4), (2, 4, 8), (1, 2, 4))
    if data * fsdp * tensor <= 8
]

# Fresh parameters would hide most of it: gates and last layers begin at zero. An error of a leaf is told by its largest
# gradient's, or by a thousandth of the largest of all where its own are no more than rounding.
SAME = """
import json, sys
import jax, numpy as np
from jaxgen.training.parallel import Parallel
from jaxgen.types import Variables
from tests.families.cases import BATCH, KEY, batch_of, lively, request_of, task_of

family, drawn, *meshes = sys.argv[1:]
task, variables, batch, request = task_of(family), lively(family), batch_of(family), request_of(family, BATCH)
extra = variables.extra.replace(rows=task.rows(BATCH))


def outcome(turn, devices):
    def total(params, batch):
        return turn.loss(Variables(devices.readable(params), extra), batch, KEY)[0].total

    lies = devices._shardings(variables.params)
    gradient = jax.jit(jax.value_and_grad(total), out_shardings=(devices.sharding(), lies))
    rows = devices.sharding(("data", "fsdp"))
    return jax.device_get(gradient(jax.device_put(variables.params, lies), jax.device_put(batch, rows)))


def sampled(devices):
    params = jax.device_put(variables.params, devices._shardings(variables.params))
    present = Variables(devices.readable(params), variables.extra)
    return jax.device_get(jax.jit(task.sample)(present, devices.put_request(request), KEY)["made"]["value"])


def placed(mesh):
    data, fsdp, tensor = map(int, mesh.split("x"))
    return Parallel(data=data, fsdp=fsdp, tensor=tensor).place(BATCH, task.layout())


found = {"samples": {}, "losses": {}, "gradients": {}}
if drawn == "drawn":
    wanted = sampled(placed("1x1x1"))
    found["samples"] |= {mesh: float(np.mean(sampled(placed(mesh)) == wanted)) for mesh in ("1x8x1", "2x2x2")}
for turn in task.turns():
    loss, gradient = outcome(turn, placed("1x1x1"))
    least = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) / 1000
    for mesh in meshes:
        other_loss, other = outcome(turn, placed(mesh))
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True)
        errors = [float(np.abs(a - b).max() / max(np.abs(a).max(), least)) for a, b in pairs]
        found["losses"][f"{turn.name} {mesh}"] = float(abs(other_loss - loss) / max(abs(loss), 1))
        found["gradients"][f"{turn.name} {mesh}"] = max(errors)
print(json.dumps(found))
"""


def agrees(family: str, drawn: str, *meshes: str) -> None:
    found = on_devices(8, SAME, family, drawn, *meshes)
    for mesh, share in found["samples"].items():
        assert share > 0.98, mesh  # a rounding may fall the other way
    for what, tolerance in (("losses", 1e-6), ("gradients", 1e-5)):
        for where, error in found[what].items():
            assert error < tolerance, (what, where)


def test_a_mesh_of_three_axes_has_the_losses_and_gradients_of_one_device():
    """Law 2. Without the gathers both players' losses are 0.4 and 3.6 % off here, and their gradients 67 and 98 %."""
    agrees("gan", "undrawn", "2x2x2")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_mesh_has_the_losses_gradients_and_samples_of_one_device(family):
    agrees(family, "drawn", *MESHES)


HELD = """
import json
import jax
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.remat import Remat
from jaxgen.running.assembly import assemble
from jaxgen.running.compiled import CompiledMemory, lower_for
from jaxgen.running.estimate import estimate, shapes_of
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel

network = Transformer(width=256, blocks=48, heads=4, hidden=1024, remat=Remat.FULL, scan=True)
data, parallel = Pictures(batch_size=8, given=False), Parallel(data=1, fsdp=8)
assembly = assemble(Experiment(LanguageModel(network), data, {"likelihood": AdamW()}, 1, parallel=parallel))
state = shapes_of(assembly)
options = {"xla_cpu_copy_insertion_use_region_analysis": True}  # as the compilers of accelerators do
memory = CompiledMemory.of(lower_for(assembly, state).compile(options))
sizes = {name: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)) for name, tree in
         (("params", state.params), ("moments", state.opt_state), ("blocks", state.params["blocks"]))}
print(json.dumps(sizes | {"held": memory.arguments + memory.temporary, "temporary": memory.temporary,
                          "told": vars(estimate(assembly, state).memory)}))
"""


def test_a_device_holds_its_part_of_a_deep_model_and_two_blocks():
    """XLA's own figures of a step of 48 blocks, compiled and not run; what is told without compiling is within 2.2.

    Parameters, moments and gradients are an eighth of the whole but for biases and norms, which are not cut: here 2 %.
    """
    found = on_devices(8, HELD)
    block = found["blocks"] / 48
    # of the one row that each device has: every block's input, and twice what one block keeps for its own gradient
    activations = 4 * 64 * (48 * 256 + 2 * (3 * 256 + 2 * 1024))
    told = found["told"]
    assert told["gradients"] == told["parameters"] < 1.03 * found["params"] / 8
    assert told["optimiser"] < 1.03 * found["moments"] / 8
    lies = told["parameters"] + told["optimiser"] + told["gradients"]
    assert found["held"] < lies + 2 * block + activations
    assert 1 / 2.2 < found["temporary"] / (told["gradients"] + told["activations"]) < 2.2
