"""What surrounds a run: JAX's devices and compile cache set up, and the facts that a run writes down of its machine."""
# SPDX-License-Identifier: Apache-2.0

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from jaxgen.cgroups import allowed_cores
from jaxgen.compile_cache import bound, unusable

_PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def set_up_jax() -> list[str]:
    """One JAX device a core on CPUs, compiled programs kept in the user's cache folder. Before the first JAX call.

    Returns what the user should know: sentences. After it the number of devices is fixed.
    """
    import jax
    from absl import logging

    _one_order_of_sums()
    logging.set_verbosity(logging.FATAL)  # Orbax logs its every step, and a failed save twice that is raised as well
    remarks: list[str] = []
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        try:
            jax.config.update("jax_num_cpu_devices", cores())
        except RuntimeError:  # JAX has made its devices, as in a notebook that has used it
            remarks += _fixed_devices(len(jax.devices("cpu")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if named is not None and (not named or "://" in named):  # none, or a bucket: JAX's own matter
        return remarks
    own = named is None
    folder = cache_folder("programs") if own else Path(named)
    why = "there is no home folder" if folder is None else unusable(folder)
    jax.config.update("jax_compilation_cache_dir", None if why else str(folder))
    if why:
        remarks.append(
            f"compiled programs are not kept ({why}); name a folder in JAX_COMPILATION_CACHE_DIR to keep them"
        )
    elif own:
        bound(folder)
    return remarks


def cache_folder(what: str) -> Path | None:
    """Where programs, say, are kept for this user where nothing else is said; None where there is no place."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if not caches.is_absolute():  # the XDG specification: a relative path is to be ignored
        try:
            caches = Path.home() / ".cache"
        except RuntimeError:  # no HOME, and a user id without a name
            return None
    return caches / "jaxgen" / what


def _fixed_devices(count: int) -> list[str]:
    """What to say where JAX was in use before; nothing where it has a device a core, or an accelerator."""
    import jax

    if jax.default_backend() != "cpu" or count == cores():
        return []
    return [
        f"JAX was in use before jaxgen and has {count} CPU device{'s' if count > 1 else ''} for {cores()} cores; to "
        "use a device a core, call jaxgen.train or jaxgen.load before other JAX code"
    ]


def _one_order_of_sums() -> None:
    """Has XLA sum in one order, unless XLA_FLAGS says otherwise.

    On GPUs within a sum, so that a resumed run ends in the same bytes: an embedding's gradient, which is scattered,
    differed in its last bits from run to run without it (an H200).
    On CPUs over the sums between devices: XLA's default there lets each device take independent ones as they come, and
    two devices that wait in different ones wait until XLA aborts (a mesh of 2 x 2 with 8 threads, within seconds).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_exclude_nondeterministic_ops" not in flags and "xla_gpu_deterministic_ops" not in flags:
        os.environ["XLA_FLAGS"] = with_xla_flags("--xla_gpu_exclude_nondeterministic_ops=true")
    if "xla_cpu_enable_concurrency_optimized_scheduler" not in flags:
        os.environ["XLA_FLAGS"] = with_xla_flags("--xla_cpu_enable_concurrency_optimized_scheduler=false")


def with_xla_flags(more: str) -> str:
    """The user's own XLA flags, and these after them: of two that set the same the last counts."""
    return f"{os.environ.get('XLA_FLAGS', '')} {more}".strip()


def facts() -> dict[str, Any]:
    """Versions, devices, the command and the source's commit: what environment.json holds."""
    import jax

    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "backend": jax.default_backend(),
        "devices": [str(device.device_kind) for device in jax.devices()],
        "cores": cores(),
        "processor": _processor(),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    """None where the package is run from a checkout without being installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def backend() -> str:
    """`cpu`, `gpu` or `tpu`, asked of another process, so that this one takes no accelerator for itself."""
    command = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def cores() -> int:
    """The cores that this process may use, by its affinity and its container's share; all where no system tells."""
    return allowed_cores() if sys.platform == "linux" else os.cpu_count() or 1


def free_memory() -> int | None:
    """The bytes that Linux says a program can still get; None on another system."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _processor() -> str:
    """The processor's own name where Linux tells it, with its family and model: clouds call several by one name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return processor_of(lines) or platform.processor()


def processor_of(lines: Sequence[str]) -> str:
    """What the first core's lines of /proc/cpuinfo call it; empty where they tell no name, as on some ARM machines."""
    told: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    numbers = ("cpu family", "family"), ("model", "model")
    kind = " ".join(f"{word} {told[name]}" for name, word in numbers if name in told)
    return ", ".join(filter(None, (told["model name"], kind))) if "model name" in told else ""


def _commit() -> str | None:
    """The commit of jaxgen's own checkout, marked when it has changes; None for an installed package."""
    if not (Path(__file__).parents[1] / ".git").exists():  # git would answer with whatever project surrounds us
        return None
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
