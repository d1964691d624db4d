"""What is set up before the first JAX call."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys

import pytest

from tests.commands.command import ROOT

FIXED = "--xla_gpu_exclude_nondeterministic_ops"
DEVICES = "--xla_cpu_enable_concurrency_optimized_scheduler"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", f"{FIXED}=true {DEVICES}=false"),
        ("--xla_dump_to=x", f"--xla_dump_to=x {FIXED}=true {DEVICES}=false"),
        (f"{FIXED}=false", f"{FIXED}=false {DEVICES}=false"),
        ("--xla_gpu_deterministic_ops=true", f"--xla_gpu_deterministic_ops=true {DEVICES}=false"),
        (f"{DEVICES}=true", f"{DEVICES}=true {FIXED}=true"),
    ],
)
def test_sums_have_one_order_unless_the_user_says_otherwise(own, expected):
    code = "import os; from jaxgen.environment import set_up_jax; set_up_jax(); print(os.environ['XLA_FLAGS'])"
    environment = os.environ | {"XLA_FLAGS": own}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("named", ["gs://bucket/programs", ""])
def test_a_cache_that_is_no_folder_is_left_to_jax(named, tmp_path):
    code = "import jax; from jaxgen.environment import set_up_jax; set_up_jax(); "
    code += "print(repr(jax.config.jax_compilation_cache_dir))"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": named}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (repr(named), "None") and not list(tmp_path.iterdir())


@pytest.mark.slow  # half a minute
def test_four_devices_on_eight_threads_never_wait_for_each_other():
    """A mesh of 2 x 2, on as many threads as a machine of eight cores has; by XLA's default two of three runs end so.

    A program has sums over rows, over columns and over all devices, and independent ones among them.
    """
    code = """
import jax, numpy as np
from jaxgen.environment import set_up_jax
set_up_jax()
from jaxgen.training.parallel import Parallel
from tests.training.test_step import PLAYERS, Everything, built
init, key, devices, feed, program = built(Parallel(data=2, fsdp=2), Everything(), True, PLAYERS)
state = devices.put_state(init(jax.random.key(0), key))
for _ in range(1000):
    state, _ = jax.block_until_ready(program(state, feed, np.int32(4)))
print(int(state.step))
"""
    flags = "--xla_force_host_platform_device_count=4 --xla_cpu_collective_call_terminate_timeout_seconds=10"
    environment = os.environ | {"XLA_FLAGS": flags, "PJRT_NPROC": "8", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) == 4000
