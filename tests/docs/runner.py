"""A page's blocks run in order, in one folder, as a reader would: shell blocks by bash, Python's in one process."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.docs.blocks import Block

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 1800  # of one block
# The Python blocks of a page share their names, as a notebook's cells do. A path in, an exit code out.
_CELLS = """
import sys, traceback
names = {"__name__": "__main__"}
for path in sys.stdin:
    path = path.strip()
    try:
        with open(path) as file:
            exec(compile(file.read(), path, "exec"), names)
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    print(f"\\0{code}", flush=True)
"""


class Failed(AssertionError):
    """A block that ended with an error; the message holds all that it wrote."""


def run_page(page: str, blocks: Iterable[Block], folder: Path) -> None:
    """Run the blocks in `folder`. Failed, with the output, at the first that fails."""
    with tempfile.TemporaryDirectory() as beside:
        environment = _environment(Path(beside))
        cells = _Cells(folder, environment, Path(beside))
        try:
            for block in blocks:
                code, output = (_shell if block.language == "sh" else cells)(block, folder, environment)
                if code:
                    raise Failed(f"{page} line {block.line} ended with {code}:\n\n{block.code}\n{output}")
        finally:
            cells.close()


def _environment(beside: Path) -> dict[str, str]:
    """`jaxgen` and `python` are this checkout's and this interpreter; whatever asks a network is refused at once.

    JAX has one device: beside other tests, several wait for each other longer than they compute.
    """
    programs = beside / "bin"
    programs.mkdir()
    for name, command in {"python": "", "jaxgen": " -m jaxgen.cli"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        (programs / name).chmod(0o755)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths, "PIP_NO_INDEX": "1"}
    own["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=1"
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return os.environ | own | nowhere


def _shell(block: Block, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """A block ends at its first command that fails."""
    command = ["bash", "-e", "-o", "pipefail", "-c", block.code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS)
    return done.returncode, done.stdout + done.stderr


class _Cells:
    """The process of a page's Python blocks, begun with the first of them."""

    def __init__(self, folder: Path, environment: dict[str, str], beside: Path):
        self._how = {"cwd": folder, "env": environment, "text": True, "stderr": subprocess.STDOUT}
        self._beside, self._process = beside, None

    def __call__(self, block: Block, *_: object) -> tuple[int, str]:
        if self._process is None:
            command, pipes = [sys.executable, "-c", _CELLS], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = subprocess.Popen(command, **pipes, **self._how)
        path = self._beside / f"line_{block.line}.py"
        path.write_text(block.code, encoding="utf-8")
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        output = []
        for line in self._process.stdout:
            if line.startswith("\0"):
                return int(line[1:]), "".join(output)
            output.append(line)
        return self._process.wait() or 1, "".join(output)

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=60)
