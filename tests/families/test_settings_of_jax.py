"""Settings of JAX's own that users have in their environment change nothing: every family runs under them."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys

import pytest

from tests.commands.command import ROOT
from tests.families.cases import DIGITS, TRANSLATION

SETTINGS = [
    ("JAX_ENABLE_X64", ("rnn", "gan")),
    pytest.param("JAX_ENABLE_X64", tuple(DIGITS), marks=pytest.mark.slow),
    pytest.param("JAX_ENABLE_X64", tuple(TRANSLATION), marks=pytest.mark.slow),
    pytest.param("JAX_DEBUG_NANS", tuple(DIGITS), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("setting", "cases"), SETTINGS)
def test_every_family_trains_evaluates_samples_and_scores(setting, cases):
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])}
    command = [sys.executable, "-m", "tests.families.all_five", *cases]
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **paths, setting: "1"}
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert [line for line in process.stdout.splitlines() if line.startswith("through")] == [
        f"through {case}" for case in cases
    ]
