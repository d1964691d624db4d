"""The `jaxgen` command: its arguments and its exit codes. `--help` answers without importing jax."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path

from jaxgen.cli_arguments import parser
from jaxgen.standard_streams import complain, drop_output, use_any_locale


def _process_began() -> float:
    """When this process was started, on `time.perf_counter`'s clock; now, where the system does not say.

    Nor where that was long ago: it was another program then, a shell that has become this one.
    """
    now = time.perf_counter()
    try:
        # since the machine's start
        ticks = float(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    except OSError:
        return now
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return now - age if age < 2 else now


_BEGAN = _process_began()


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave: 0 done, 2 a user's mistake, 1 an unexpected failure, 128 + n stopped by signal n."""
    use_any_locale()
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    code = _run(options)
    if code in (1, 2) and _beside_others():
        _leave_at_once(code)
    sys.exit(code)


def _beside_others() -> bool:
    """Whether this process trains beside others; asked without importing jax or waking its devices."""
    processes = sys.modules.get("jaxgen.training.processes")
    return processes is not None and processes.joined()


def _leave_at_once(code: int) -> None:
    """Without the farewell that waits for all others: they are dead, or wait for this one."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):
            stream.flush()
    os._exit(code)


def _run(options) -> int:
    from jaxgen.errors import UserError

    try:
        return _VERBS[options.name_of_verb](options)
    except UserError as error:
        complain(f"jaxgen: {error}")
        return 2
    except KeyboardInterrupt:
        complain("jaxgen: interrupted; what was saved before is whole")
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        drop_output()
        return 141
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "jaxgen").split(".")[0] != "jaxgen":
            what = f"the package {error.name}, which is not installed here"
            complain(f"jaxgen: this needs {what}; install it (`pip install jaxgen` brings what jaxgen itself needs)")
            return 2
        if "RESOURCE_EXHAUSTED" in str(error):
            mend = "lower data.batch_size, raise accumulate (the same batch in parts) or free the device"
            complain(f"jaxgen: the device's memory is exhausted; {mend}")
        what = "an unexpected failure"
        if _beside_others() and type(error).__name__ == "JaxRuntimeError":
            what = (
                "another process of this run has ended or cannot be reached; what was saved is whole: start all of "
                "them again with the same commands"
            )
        complain(f"jaxgen: {what}; {_keep_traceback(options, error)}")
        return 1


def _keep_traceback(options, error: Exception) -> str:
    """The traceback in RUN/error.log where there is a run folder, else on stderr."""
    text = traceback.format_exc()
    workdir = options.workdir[0] if isinstance(options.workdir, list) else options.workdir
    if workdir is not None and Path(workdir).is_dir():
        log = Path(workdir) / "error.log"
        try:
            log.write_text(text, encoding="utf-8")
            return f"its traceback is in {log}: {type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
        except OSError:
            pass  # a folder that cannot be written: the traceback is said below instead
    return text


def _train(options) -> int:
    if options.autotuned is not None:
        from jaxgen.running.autotuned import use_xla_flags

        use_xla_flags(Path(options.autotuned))
    _set_up_jax()
    from jaxgen.commands.train import train
    from jaxgen.reporting.terminal import say
    from jaxgen.training.processes import join

    if met := join(options.coordinator, options.processes, options.process):
        say(met)
    return train(options.config, options.workdir, _changes(options), _BEGAN, options.profile, options.autotuned)


def _describe(options) -> int:
    _set_up_jax()
    from jaxgen.commands.describe import describe

    if options.on is not None:
        from jaxgen.running.virtual import use_virtual_devices

        use_virtual_devices(options.on, options.mesh)
    return describe(options.config, _changes(options), options.workdir, options.compile, options.on)


def _autotune(options) -> int:
    from jaxgen.commands.autotune import autotune

    tried = options.knobs, options.batch, options.xla_flags
    return autotune(options.config, _changes(options), options.out, *tried, options.seconds)


def _changes(options):
    from jaxgen.running.command_line import Changes

    return Changes(options.set, options.start, options.parallel, options.mesh)


def _sample(options) -> int:
    _set_up_jax()
    from jaxgen.commands.sample import sample

    run = options.workdir, options.config, options.set, options.checkpoint
    how = options.given, options.count, options.out, options.seed, options.attention, options.stream, options.begin
    return sample(*run, *how)


def _evaluate(options) -> int:
    _set_up_jax()
    from jaxgen.commands.evaluate import evaluate, sweep
    from jaxgen.errors import UserError

    run = options.workdir, options.config, options.set, options.checkpoint, options.split
    if options.sweep is not None:
        return sweep(*run, options.sweep, options.out)
    if options.out is not None:
        raise UserError("--out is the page of a sweep; give --sweep FIELD=A,B,C beside it, or leave it out")
    return evaluate(*run)


def _score(options) -> int:
    _set_up_jax()
    from jaxgen.commands.score import score

    return score(options.workdir, options.config, options.set, options.examples, options.given, options.out)


def _restore(options) -> int:
    _set_up_jax()
    from jaxgen.commands.restore import Told, restore

    told = Told(*(getattr(options, field) for field in Told._fields))
    run = options.workdir, options.config, options.set, options.checkpoint
    return restore(*run, options.photograph, options.out, told, options.count, options.seed)


def _edit(options) -> int:
    _set_up_jax()
    from jaxgen.commands.edit import Asked, edit

    run = options.workdir, options.config, options.set, options.checkpoint
    return edit(*run, Asked(*(getattr(options, field) for field in Asked._fields)), options.out)


def _play(options) -> int:
    _set_up_jax()
    from jaxgen.commands.play import play

    run = options.workdir, options.config, options.set, options.checkpoint
    view = options.given, options.count, options.seed, options.sliders
    view += options.attribute, options.having, options.lacking
    return play(*run, *view, options.port, options.out)


def _report(options) -> int:
    _set_up_jax()
    from jaxgen.commands.report import report

    return report(options.workdir, options.out)


def _ablate(options) -> int:
    _set_up_jax()
    from jaxgen.commands.ablate import ablate

    how = options.processes, options.together, options.script, options.on
    return ablate(options.config, options.workdir, options.member, *how)


def _search(options) -> int:
    _set_up_jax()
    from jaxgen.commands.search import search

    return search(options.config, options.workdir)


def _configs(options) -> int:
    from jaxgen.commands.configs import configs

    return configs(options.name, options.to)


def _bench(options) -> int:
    from jaxgen.commands.bench import bench

    return bench(options.name, options.arguments)


def _set_up_jax() -> None:
    from jaxgen.environment import set_up_jax
    from jaxgen.reporting.terminal import say

    for sentence in set_up_jax():
        say(sentence)


_VERBS = {
    "train": _train,
    "describe": _describe,
    "autotune": _autotune,
    "sample": _sample,
    "evaluate": _evaluate,
    "score": _score,
    "restore": _restore,
    "edit": _edit,
    "play": _play,
    "report": _report,
    "ablate": _ablate,
    "search": _search,
    "bench": _bench,
    "configs": _configs,
}


if __name__ == "__main__":
    main()
