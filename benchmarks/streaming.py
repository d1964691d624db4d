"""How fast a trained run tells what it reads as it comes: recordings, or recordings and sentences by wait-k.

    python benchmarks/streaming.py --workdir RUN [--examples 200] [--waits 1 3 5 7 9]

Recordings: the time to the first token, the milliseconds of a window (median, 99th percentile), the real-time factor,
tokens a second, the average lagging. By wait-k for every k the quality and average lagging of the whole test split too;
of sentences, `--examples` of them read word by word, the milliseconds of a token. The last line is one JSON object.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np

from jaxgen.core.task import TranslatesWhileReading
from jaxgen.environment import set_up_jax
from jaxgen.metrics.latency import average_lagging
from jaxgen.metrics.translation import translation_measures
from jaxgen.running.bounded import Sampling, never
from jaxgen.running.lagging import lag_figures
from jaxgen.running.stream_sentence import Read, Translator
from jaxgen.running.streaming import listener_of
from jaxgen.running.trained import Trained, load_trained


def of_recordings(trained: Trained, count: int) -> dict[str, float]:
    """Figures of `count` held-out recordings, read one after another as fast as they can be, 10 ms at a time."""
    data, listener = trained.assembly.data, listener_of(trained)
    examples = data.first("test", count)
    ((wave,),) = (examples["given"].values(),)
    windows, firsts, lags, spent, heard, tokens = [], [], [], 0.0, 0.0, 0
    for row in range(len(wave["length"])):
        samples = wave["value"][row, : wave["length"][row]]
        step = listener.window.hop
        pieces = (samples[start : start + step] for start in range(0, len(samples), step))
        read, before = [], 0.0
        for told in listener(pieces):
            windows.append(listener.spent - before)
            before = listener.spent
            read += [listener.heard] * len(told)
        spent, heard, tokens = spent + listener.spent, heard + listener.heard, tokens + len(read)
        lags.append(average_lagging(read, listener.heard, int(examples["made"]["mask"][row].sum()) - 1))
        firsts += read[:1]
    milliseconds = 1e3 * np.asarray(windows)
    return {
        "recordings": len(wave["length"]),
        "seconds_of_sound": heard,
        "real_time_factor": spent / heard,
        "window_ms_p50": float(np.median(milliseconds)),
        "window_ms_p99": float(np.percentile(milliseconds, 99)),
        "tokens_per_second_of_work": tokens / spent,
        "first_token_after_s_of_sound_p50": float(np.median(firsts)),
        "average_lagging_s": float(np.mean(lags)),
    }


def by_wait_k(workdir: Path, waits: list[int | None], count: int) -> dict[str, dict[str, float]]:
    """For every k: quality and lagging over the test split, and times of `count` recordings or sentences."""
    found = {}
    for wait_k in waits:
        trained = load_trained(workdir, None, print, [f"task.sampler.wait_k={wait_k or 'none'}"])
        if trained.assembly.presentation.reads_recordings:
            streams = trained.assembly.task.window is not None
            figures = of_recordings(trained, count) if streams else {}
        else:
            figures = _times(trained, count)
        found[str(wait_k or "all")] = figures | _quality(trained)
        print(wait_k or "all", found[str(wait_k or "all")], flush=True)
    return found


def _quality(trained: Trained) -> dict[str, float]:
    presentation, real = trained.assembly.presentation, trained.assembly.data.first("test", 100_000)
    request = {"row": np.arange(len(real["made"]["value"]), dtype=np.int32), "given": real["given"]}
    made = Sampling(trained.assembly)(trained.variables, request, jax.random.key(0), never)
    texts, references = (presentation.plain(one)[1] for one in (made, real))
    measured = translation_measures(texts, references)
    figures = {"bleu": measured["bleu"], "exact_match": measured["exact_match"]}
    return figures | lag_figures(trained.assembly.task, presentation, made, real)


def _times(trained: Trained, count: int) -> dict[str, float]:
    presentation, task = trained.assembly.presentation, trained.assembly.task
    sentences = presentation.plain(trained.assembly.data.first("test", count))[0]
    task = dataclasses.replace(task, sampler=dataclasses.replace(task.sampler, width=1, best=1))
    translator = Translator(task, trained.variables, presentation.sentence)
    firsts, each = [], []
    for number, sentence in enumerate(("warm up", *sentences)):
        words = sentence.split()
        reads = (Read(" ".join(words[: n + 1]), n + 1 == len(words)) for n in range(len(words)))
        began, first = time.perf_counter(), None
        for told, _ in translator(reads):
            now = time.perf_counter()
            if number and told:
                each += [(now - began) / len(told)] * len(told)
                first = first or now
                firsts += [now - began] if first == now else []
            began = now
    milliseconds = 1e3 * np.asarray(each)
    return {
        "first_token_ms_p50": float(1e3 * np.median(firsts)),
        "token_ms_p50": float(np.median(milliseconds)),
        "token_ms_p99": float(np.percentile(milliseconds, 99)),
        "tokens_per_second": float(len(each) / np.sum(each)),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", required=True, type=Path, metavar="RUN")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--waits", type=int, nargs="*", default=[1, 3, 5, 7, 9])
    options = parser.parse_args(arguments)
    set_up_jax()
    trained = load_trained(options.workdir, None, print)
    presentation = trained.assembly.presentation
    if not (presentation.reads_sentences or presentation.reads_recordings):
        parser.error("--workdir: that run is given neither recordings nor sentences; give another")
    if isinstance(trained.assembly.task, TranslatesWhileReading):
        found = by_wait_k(options.workdir, [*options.waits, None], options.examples)
    else:
        found = of_recordings(trained, options.examples)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
