"""The `jaxgen` command as a user runs it: whole processes."""
# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py"))

# Small enough to be trained in a test, slow enough to be stopped in the middle; fields that a user would set.
SMALL = {
    "configs/rnn/digits.py": ["steps=60", "data.batch_size=16", "task.network.width=16", "steps_per_call=4"],
    "configs/gan/digits.py": ["steps=60", "task.discriminator.width=384", "steps_per_call=3"],
    "configs/rnn/python_docs.py": ["steps=60", "data.batch_size=16", "task.network.width=64", "steps_per_call=3"],
}
OFTEN = ["every.log=6", "every.evaluate=30", "every.sample=30", "every.checkpoint=6"]


def jaxgen(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run to the end."""
    command = [sys.executable, "-m", "jaxgen.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, **options)


def begin(*arguments: str, **options) -> subprocess.Popen:
    """Start, to be signalled."""
    command = [sys.executable, "-m", "jaxgen.cli", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def train_small(config: str, workdir: Path, *more: str) -> list[str]:
    """The arguments of a small run."""
    return ["train", "--config", config, "--workdir", str(workdir), "--set", *SMALL[config], *OFTEN, *more]


def told(process: subprocess.CompletedProcess) -> str:
    """The one sentence of a user's mistake: exit code 2, nothing on stdout, no traceback."""
    assert process.returncode == 2, process.stderr
    assert process.stdout == "" and "Traceback" not in process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    return lines[0]
