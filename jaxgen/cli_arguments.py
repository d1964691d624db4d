"""What the `jaxgen` command is told: its verbs and their arguments. Nothing here imports jax."""
# SPDX-License-Identifier: Apache-2.0


def parser():
    """Options whose `name_of_verb` says which verb was asked for."""
    from absl.flags import argparse_flags

    made = argparse_flags.ArgumentParser(
        prog="jaxgen", description="Train, sample, score and compare generative models.", allow_abbrev=False
    )
    verbs = made.add_subparsers(title="verbs", required=True, metavar="VERB")
    for add in (
        _add_train,
        _add_describe,
        _add_autotune,
        _add_sample,
        _add_evaluate,
        _add_score,
        _add_restore,
        _add_edit,
        _add_play,
        _add_report,
        _add_ablate,
        _add_search,
        _add_bench,
        _add_configs,
    ):
        add(verbs)
    return made


def _add_train(verbs) -> None:
    verb = _verb(verbs, "train", "begin a run, or go on with the one in --workdir")
    _add_config(verb)
    verb.add_argument("--workdir", required=True, metavar="RUN", help="the run's folder; made where there is none")
    _add_changes(verb)
    tuned = "train with the settings that `jaxgen autotune` has found on a machine like this one"
    verb.add_argument("--autotuned", metavar="FILE.json", help=tuned)
    verb.add_argument("--profile", type=int, default=0, metavar="N", help="trace N steps into RUN/profile")
    verb.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where several train one run")
    verb.add_argument("--processes", type=int, metavar="N", help="how many (a cluster's launcher says it itself)")
    verb.add_argument("--process", type=int, metavar="I", help="which of them this is, from 0 on")


def _add_describe(verbs) -> None:
    verb = _verb(verbs, "describe", "parameters, FLOPs, memory and time of an experiment; nothing is allocated")
    _add_config(verb)
    _add_changes(verb)
    verb.add_argument("--workdir", metavar="RUN", help="an ended run like it, whose measured pace the time is told by")
    compiled = "compile it too, and tell XLA's own figures and what the devices send each other"
    verb.add_argument("--compile", action="store_true", help=compiled)
    kind = "devices that need not be here, as many as --mesh says: 'NVIDIA H100', 'TPU v5', ..."
    verb.add_argument("--on", metavar="DEVICE", help=kind)


def _add_autotune(verbs) -> None:
    verb = _verb(verbs, "autotune", "the fastest settings of an experiment on this machine, by training steps of it")
    _add_config(verb)
    _add_changes(verb)
    where = "where to write them, for `jaxgen train --autotuned`; nothing is overwritten"
    verb.add_argument("--out", required=True, metavar="FILE.json", help=where)
    knobs = "what to try: devices, steps_per_call, scan, remat (all)"
    verb.add_argument("--knobs", nargs="+", default=[], metavar="KNOB", help=knobs)
    sizes = "batch sizes to try too, by examples a second; another one trains another model"
    verb.add_argument("--batch", nargs="+", type=int, default=[], metavar="N", help=sizes)
    flags = "XLA flags to try too, each set as one word: --xla-flags='--xla_a=true --xla_b=2'"
    verb.add_argument("--xla-flags", action="append", default=[], metavar="FLAGS", help=flags)
    limit = "nothing more is tried after so long (%(default)s)"
    verb.add_argument("--seconds", type=float, default=180.0, metavar="N", help=limit)


def _add_sample(verbs) -> None:
    verb = _verb(verbs, "sample", "fresh examples from a run")
    _add_run(verb)
    _add_checkpoint(verb)
    verb.add_argument(
        "--given",
        nargs="+",
        default=[],
        metavar="WORD_OR_FILE",
        help="what to make samples for: class names or numbers, prompts, sentences (a file's lines), files; - is stdin",
    )
    begin = "pictures that samples begin from, whose transparent pixels are filled in; diffusion makes others of whole "
    begin += "ones under task.sampler.start_noise, a VAE by its posterior, a GAN the nearest that it can"
    verb.add_argument("--begin", nargs="+", default=[], metavar="FILE", help=begin)
    verb.add_argument("--count", type=int, help="how many for each given (1), or in all without any (80)")
    where = "where to write them (RUN/samples/sample.png, .gif or .wav; texts: stdout); a .gif of pictures: their steps"
    verb.add_argument("--out", metavar="FILE", help=where)
    verb.add_argument("--attention", metavar="FILE.png", help="also draw what each token made attends to in the given")
    streamed = "read a recording or sentences as they come (no --given: stdin) and tell what is made of them at once"
    verb.add_argument("--stream", action="store_true", help=streamed)
    verb.add_argument("--seed", type=int, default=0, help="the same seed draws the same examples (%(default)s)")


def _add_evaluate(verbs) -> None:
    verb = _verb(verbs, "evaluate", "a run's figures; the last line of stdout is one JSON object")
    _add_run(verb)
    _add_checkpoint(verb)
    verb.add_argument("--split", default="test", help="of the data, or an expression: validation+test (%(default)s)")
    values = "measure each value of a field that --set can change here: a line of JSON each"
    verb.add_argument("--sweep", metavar="FIELD=A,B,C", help=values)
    verb.add_argument("--out", metavar="PAGE.html", help="write the sweep's table and curves as a page")


def _add_score(verbs) -> None:
    verb = _verb(verbs, "score", "the log-likelihood of your own examples, or the probability that they are real")
    _add_run(verb)
    verb.add_argument("examples", nargs="+", metavar="FILE_OR_TEXT", help="picture, sound or text files, or a text")
    verb.add_argument(
        "--given", action="append", default=[], metavar="CLASS", help="one for each example; without, all are tried"
    )
    where = "also write them there: a table, or under any other name one JSON list"
    verb.add_argument("--out", metavar="FILE.csv", help=where)


def _add_report(verbs) -> None:
    verb = _verb(verbs, "report", "one self-contained page about one run or several")
    verb.add_argument("--workdir", nargs="+", required=True, metavar="RUN", help="the runs' folders")
    verb.add_argument("--out", metavar="FILE", help="where to write the page (report.html in the first run)")


def _add_ablate(verbs) -> None:
    verb = _verb(verbs, "ablate", "train and compare the runs of an ablation, or go on with those in --workdir")
    what = "a Python file whose ablation() returns an Ablation, as experiments/NAME/run.py"
    verb.add_argument("--config", required=True, metavar="FILE", help=what)
    verb.add_argument("--workdir", required=True, metavar="DIR", help="the folder of all runs")
    several = "processes to share the runs out to (on CPUs one a core, otherwise 1: an accelerator has one at a time)"
    verb.add_argument("--processes", type=int, metavar="N", help=several)
    rows = (
        "train up to N runs that differ in seed and learning rates alone as one vmapped program, where the first calls "
        "show that to be faster (on CPUs 1, otherwise 8)"
    )
    verb.add_argument("--together", type=int, metavar="N", help=rows)
    alone = "run these alone, and tell no table: what a cluster's job does"
    verb.add_argument("--member", nargs="+", action="extend", default=[], metavar="NAME", help=alone)
    script = "run nothing, but write a SLURM array of a job a member there"
    verb.add_argument("--script", metavar="FILE.sh", help=script)
    cluster = "run them on the nodes of the Ray cluster at RAY_ADDRESS, one a CPU or GPU (on this machine)"
    verb.add_argument("--on", choices=("ray",), help=cluster)


def _add_search(verbs) -> None:
    verb = _verb(
        verbs, "search", "find the values of fields that make a figure best, or go on with the trials in --workdir"
    )
    what = "a Python file whose search() returns a Search, as docs/examples/search.py"
    verb.add_argument("--config", required=True, metavar="FILE", help=what)
    verb.add_argument("--workdir", required=True, metavar="DIR", help="the folder of all trials")


def _add_bench(verbs) -> None:
    verb = _verb(verbs, "bench", "the benchmarks that ship: list them, or run one")
    verb.add_argument("name", nargs="?", metavar="NAME", help="train_step, sampling, ... (list them)")
    verb.add_argument("arguments", nargs="...", metavar="...", help="of that benchmark; --help tells which it has")


def _add_configs(verbs) -> None:
    verb = _verb(verbs, "configs", "the experiments that ship: list, show or copy them")
    verb.add_argument("name", nargs="?", metavar="NAME", help="rnn/digits; rnn; cluster; configs; benchmarks")
    verb.add_argument("--to", metavar="DIR", help="copy it below this folder, nothing overwritten (show it on stdout)")


def _add_restore(verbs) -> None:
    from jaxgen.core.degradation import Degradation

    verb = _verb(verbs, "restore", "a damaged photograph of any size, restored by a diffusion model")
    _add_run(verb)
    _add_checkpoint(verb)
    verb.add_argument("photograph", metavar="PHOTO", help="a picture file, which is never overwritten; - is stdin")
    words = [degradation.value for degradation in Degradation]
    purpose = "what happened to it: " + ", ".join(words) + " (auto: noise, blur and fading as they are found in it)"
    verb.add_argument("--degradation", required=True, choices=words, metavar="KIND", help=purpose)
    where = "where to write the restored picture; before, after and their spread go beside it, to FIXED.sheet.png"
    verb.add_argument("--out", required=True, metavar="FIXED.png", help=where)
    verb.add_argument("--mask", metavar="M.png", help="inpaint, old-photo: a picture of its size, white: missing")
    without = "(estimated; inpaint, super-resolution, colour: none)"
    noise = f"standard deviation of its noise as a part of the range from black to white: 0.05 {without}"
    verb.add_argument("--noise", type=float, metavar="PART", help=noise)
    blur = "deblur: standard deviation of the Gaussian in pixels (estimated)"
    verb.add_argument("--blur", type=float, metavar="PIXELS", help=blur)
    verb.add_argument("--factor", type=int, choices=(2, 4), help="super-resolution: how many times larger (2)")
    verb.add_argument("--quality", type=int, metavar="N", help="jpeg: 1 to 100 (by the tables of a JPEG file)")
    count = "restorations; their mean is written, which errs the least, and 1 alone is sharper (%(default)s)"
    verb.add_argument("--count", type=int, default=4, help=count)
    calls = "calls of the network for each (%(default)s)"
    verb.add_argument("--evaluations", type=int, default=25, metavar="N", help=calls)
    verb.add_argument("--seed", type=int, default=0, help="the same seed gives the same restoration (%(default)s)")


def _add_play(verbs) -> None:
    verb = _verb(verbs, "play", "a local page with sliders for what a GAN, a VAE or a diffusion model draws")
    _add_run(verb)
    _add_checkpoint(verb)
    where = "of 127.0.0.1, which no other machine reaches; 0: any that is free (%(default)s)"
    verb.add_argument("--port", type=int, default=8517, metavar="N", help=where)
    verb.add_argument("--given", metavar="WORD", help="a class or a prompt (each class in turn)")
    verb.add_argument("--count", type=int, default=1, help="how many pictures, up to 16 (%(default)s)")
    verb.add_argument("--seed", type=int, default=0, help="the same seed draws the same noise (%(default)s)")
    sliders = "where the sliders stand, each from -3 to 3: --sliders=1,0,-0.5 (all at 0)"
    verb.add_argument("--sliders", default="", metavar="X,...", help=sliders)
    having = "a slider for an attribute: pictures that have it, or classes or words of captions of its training data"
    verb.add_argument("--with", dest="having", nargs="+", default=[], metavar="WORD_OR_FILE", help=having)
    lacking = "the same of those that lack it (all that have no word of --with)"
    verb.add_argument("--without", dest="lacking", nargs="+", default=[], metavar="WORD_OR_FILE", help=lacking)
    verb.add_argument("--attribute", type=float, default=0.0, metavar="X", help="where its slider stands (%(default)s)")
    verb.add_argument("--out", metavar="FILE.png", help="write what the page would show, and serve no page")


def _add_edit(verbs) -> None:
    verb = _verb(verbs, "edit", "pictures changed in the latent space of a GAN, a VAE or a diffusion model")
    kinds = ("outputs", "interpolate", "attribute", "mix", "temperature")
    purpose = "outputs for one input and where they differ; from one picture to the next; an attribute added; coarse "
    purpose += "latent levels of one with the fine ones of another; the noise of samples scaled"
    verb.add_argument("kind", choices=kinds, metavar="KIND", help=f"{', '.join(kinds)}: {purpose}")
    pictures = "your pictures (samples are edited; outputs and attribute: held-out pictures of the run's data)"
    verb.add_argument("pictures", nargs="*", default=[], metavar="PICTURE", help=pictures)
    _add_run(verb)
    _add_checkpoint(verb)
    given = "the class or prompt of all pictures and samples, or one for each"
    verb.add_argument("--given", nargs="+", default=[], metavar="WORD", help=given)
    verb.add_argument("--count", type=int, help="samples to edit (4); outputs: how many for each picture (16)")
    frames = "interpolate: pictures from one to the next, both included (%(default)s)"
    verb.add_argument("--frames", type=int, default=9, metavar="N", help=frames)
    values = "attribute: strengths, 1 is the difference of the examples; temperature: the scales"
    verb.add_argument("--values", type=float, nargs="+", default=[], metavar="X", help=values)
    having = "attribute: pictures that have it, or classes or words of captions of the run's training data"
    verb.add_argument("--with", dest="having", nargs="+", default=[], metavar="WORD_OR_FILE", help=having)
    lacking = "attribute: the same of those that lack it (all that have no word of --with)"
    verb.add_argument("--without", dest="lacking", nargs="+", default=[], metavar="WORD_OR_FILE", help=lacking)
    verb.add_argument("--coarse", type=int, metavar="N", help="mix: levels that count as coarse (half of them)")
    where = "where to write it: a table of pictures, an animation or a page with both (RUN/edits/KIND-N.png)"
    verb.add_argument("--out", metavar="FILE.png|.gif|.html", help=where)
    verb.add_argument("--seed", type=int, default=0, help="the same seed gives the same edit (%(default)s)")


def _verb(verbs, name: str, purpose: str):
    verb = verbs.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", allow_abbrev=False)
    verb.set_defaults(name_of_verb=name, workdir=None)
    return verb


def _add_config(verb) -> None:
    purpose = "the experiment's file, or the name of one that ships: gan/digits"
    verb.add_argument("--config", required=True, metavar="FILE", help=purpose)


def _add_run(verb) -> None:
    verb.add_argument("--workdir", required=True, metavar="RUN", help="the run's folder")
    verb.add_argument("--config", metavar="FILE", help="its experiment file; only a run of your own classes needs it")
    purpose = "fields of task.sampler, task.likelihood or evaluate; beside --config also what it was trained with"
    _add_set(verb, purpose)


def _add_checkpoint(verb) -> None:
    verb.add_argument("--checkpoint", metavar="STEP", help="a step's, or `best` (the newest)")


def _add_set(verb, purpose: str) -> None:
    verb.add_argument("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help=purpose)


def _add_changes(verb) -> None:
    _add_set(verb, "change fields: task.network.width=64")
    verb.add_argument("--start", metavar="RUN", help="start from the weights of another run (the experiment says)")
    verb.add_argument(
        "--parallel", choices=("jit", "pmap"), help="how the batch is spread over devices (the experiment says)"
    )
    verb.add_argument("--mesh", metavar="AXIS=N,...", help="the devices of each axis: data=2,fsdp=2,tensor=1")
