"""Four virtual CPU devices for every test, and JAX's warm programs kept between them."""
# SPDX-License-Identifier: Apache-2.0

import gc
import os
from pathlib import Path

import jax
import pytest
from hypothesis import settings

from jaxgen.environment import set_up_jax
from tests.commands.command import QUICKLY_COMPILED

# A test runs a program a few times and compiles it each time: LLVM's optimisations, which change no program's meaning,
# cost more than they save here (the whole suite is a third longer with them), and so do the emitters of fusions by way
# of MLIR (a training step of a GAN compiles in half the time without) and the passes that XLA's preset of fast
# compilation leaves out (the steps of three families in three quarters of the time). The commands that tests start
# inherit all of them.
os.environ["XLA_FLAGS"] = f"{' '.join(QUICKLY_COMPILED)} {os.environ.get('XLA_FLAGS', '')}".strip()

set_up_jax()
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", 4)

# Tracing makes objects by the thousand, few of them in cycles: looked through at every 700th, they cost a tenth of it.
gc.set_threshold(50_000, 20, 20)

settings.register_profile("jaxgen", deadline=None)  # a first call compiles
settings.load_profile("jaxgen")

_MOST_MAPS = 20_000  # of a process's memory; Linux allows 65,530, and beyond them a program that is loaded crashes


@pytest.fixture(scope="module", autouse=True)
def few_programs_in_memory():
    """Compiled programs are let go between modules where there are many: each takes several maps of memory.

    What is kept is taken out of the garbage collector's sight: it would look through millions of objects, for seconds,
    again and again.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > _MOST_MAPS:
        gc.unfreeze()
        jax.clear_caches()
    gc.collect()
    gc.freeze()
