"""What surrounds a run: a container's share of the cores, and where compiled programs are kept, and how many."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxgen.cgroups import allowed_cores
from jaxgen.compile_cache import bound, unusable
from jaxgen.environment import processor_of
from tests.commands.command import ROOT

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A folder with `proc` and `sys` as a kernel shows them to a process of these control groups."""
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"
OLD = "9:memory:/pod/a\n4:cpu,cpuacct:/pod/a\n0::/\n"


@linux
@pytest.mark.parametrize(
    ("groups", "files", "share"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, None),
        ("0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 1),
        ("0::/pod/a\n", {f"{V2}/pod/a/cpu.max": "max 100000\n", f"{V2}/pod/cpu.max": "100000 100000\n"}, 1),
        ("0::/pod/a\n", {f"{V2}/cpu.max": "20000 100000\n"}, 1),  # a container sees its group as the outermost
        ("0::/../b\n", {f"{V2}/b/cpu.max": "100000 100000\n"}, 1),
        (OLD, {f"{V1}/pod/a/cpu.cfs_quota_us": "-1\n", f"{V1}/pod/a/cpu.cfs_period_us": "100000\n"}, None),
        (OLD, {f"{V1}/pod/a/cpu.cfs_quota_us": "50000\n", f"{V1}/pod/a/cpu.cfs_period_us": "100000\n"}, 1),
        (OLD, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "199999", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 1),
        ("0::/\n", {f"{V2}/cpu.max": "100000000 100000\n"}, 1000),  # more than there are
        ("0::/\n", {f"{V2}/cpu.max": "what\n"}, None),
    ],
)
def test_the_cores_are_those_that_affinity_and_every_group_around_leave(groups, files, share, tmp_path):
    assert allowed_cores(machine(tmp_path, groups, files)) == min(CORES, share or CORES)


@linux
def test_without_the_kernels_word_all_of_the_affinity_count(tmp_path):
    assert allowed_cores(tmp_path) == CORES and 1 <= allowed_cores() <= CORES


def programs(folder: Path, *sizes: int) -> list[Path]:
    """Files of compiled programs as JAX names them, the first the one that was not used for longest."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"jit_f-{number:03}-cache" for number in range(len(sizes))]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(b"x" * size)
        os.utime(path, (1_600_000_000 + 60 * number,) * 2)
    return paths


def test_the_programs_that_were_not_used_for_longest_go_until_the_rest_fits(tmp_path):
    paths = programs(tmp_path, 10, 10, 10, 10, 10)
    os.utime(paths[0], (1_700_000_000, 1_600_000_000))  # read again lately
    (tmp_path / "notes.txt").write_text("mine")
    bound(tmp_path, most=30)
    assert [path.exists() for path in paths] == [True, False, False, True, True]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_within_its_bound_and_one_looked_at_lately_are_left_alone(tmp_path):
    paths = programs(tmp_path, 10, 10)
    bound(tmp_path, most=20)
    assert all(path.exists() for path in paths)
    bound(tmp_path, most=0)  # within the hour
    assert all(path.exists() for path in paths)
    bound(tmp_path, most=0, seconds=0)
    assert not any(path.exists() for path in paths)


def test_several_bound_one_folder_at_once(tmp_path):
    paths = programs(tmp_path, *[10] * 400)
    threads = [threading.Thread(target=bound, args=(tmp_path, 1000, 0.0)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(path.exists() for path in paths[-50:]) and sum(path.exists() for path in paths) <= 100


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "Not a directory" in unusable(tmp_path / "file" / "jaxgen") and unusable(tmp_path / "new") is None
    bound(tmp_path / "file")  # and does no harm


CACHE = "import jax, json; from jaxgen.environment import set_up_jax; said = set_up_jax()"
NAMELESS = "; import os; os.environ.pop('HOME', None); os.getuid() or os.setuid(12345)"
SHOWN = "; print(json.dumps([said, jax.config.jax_compilation_cache_dir]))"


def cache(**environment: str | None) -> tuple[list[str], str | None]:
    """What is said of the folder of programs, and which it is."""
    names = ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
    surrounding = {name: value for name, value in os.environ.items() if name not in names}
    surrounding |= {name: value for name, value in environment.items() if value is not None}
    code = CACHE + SHOWN
    if "HOME" in environment and environment["HOME"] is None:
        code = f"import jax, json, absl.logging, jaxgen.environment{NAMELESS}\n{CACHE}{SHOWN}"
    process = subprocess.run([sys.executable, "-c", code], env=surrounding, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    said, folder = json.loads(process.stdout)
    return said, folder


@pytest.mark.parametrize("relative", [None, "caches"])
def test_programs_are_kept_in_the_users_cache(relative, tmp_path):
    """A relative XDG_CACHE_HOME is to be ignored, says its specification."""
    assert cache(HOME=str(tmp_path), XDG_CACHE_HOME=relative) == ([], str(tmp_path / ".cache" / "jaxgen" / "programs"))


def test_a_cache_that_cannot_be_made_is_one_remark(tmp_path):
    (tmp_path / "file").write_text("mine")
    said, folder = cache(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "file"))
    assert folder is None and len(said) == 1 and "Not a directory" in said[0]
    said, folder = cache(HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file" / "x"))
    assert folder is None and len(said) == 1


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root becomes a user without a name")
def test_a_user_without_a_name_and_a_home_is_one_remark():
    said, folder = cache(HOME=None)
    assert folder is None and len(said) == 1 and "there is no home folder" in said[0]


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\ncpu family\t: 9", "AMD EPYC, family 26 model 2"),
        ("model name\t: An ARM: the second", "An ARM: the second"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd40", ""),
        ("", ""),
    ],
)
def test_processors_of_one_name_are_told_apart_by_family_and_model(told, name):
    assert processor_of(told.split("\n")) == name
