"""What is set up before the first JAX call."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys

import pytest

FIXED = "--xla_gpu_exclude_nondeterministic_ops"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", f"{FIXED}=true"),
        ("--xla_dump_to=x", f"--xla_dump_to=x {FIXED}=true"),
        (f"{FIXED}=false", f"{FIXED}=false"),
        ("--xla_gpu_deterministic_ops=true", "--xla_gpu_deterministic_ops=true"),
    ],
)
def test_sums_on_gpus_have_one_order_unless_the_user_says_otherwise(own, expected):
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
