"""How fast a trained run tells what it reads as it comes: recordings, or sentences by wait-k.

    python benchmarks/streaming.py --workdir RUN [--examples 200] [--waits 1 3 5 7 9]

Recordings: the time to the first token, the milliseconds of a window (median, 99th percentile), the real-time factor,
tokens a second, the average lagging. Sentences: for every k the BLEU and average lagging of the whole test split, and
of `--examples` sentences read word by word the milliseconds of a token. The last line is one JSON object.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np

from jaxgen.environment import set_up_jax
from jaxgen.metrics.latency import average_lagging, wait_k_read
from jaxgen.metrics.translation import translation_measures
from jaxgen.running.bounded import Sampling, never
from jaxgen.running.stream_recording import Recogniser
from jaxgen.running.stream_sentence import Read, Translator
from jaxgen.running.trained import Trained, load_trained


def of_recordings(trained: Trained, count: int) -> dict[str, float]:
    """Figures of `count` held-out recordings, read one after another as fast as they can be."""
    task, data = trained.assembly.task, trained.assembly.data
    recogniser = Recogniser(task, trained.variables)
    examples = data.first("test", count)
    ((wave,),) = (examples["given"].values(),)
    windows, firsts, lags, spent, heard, tokens = [], [], [], 0.0, 0.0, 0
    for row in range(len(wave["length"])):
        samples = wave["value"][row, : wave["length"][row]]
        step = recogniser.window.step
        pieces = (samples[start : start + step] for start in range(0, len(samples), step))
        read, before = [], 0.0
        for told in recogniser(pieces):
            windows.append(recogniser.spent - before)
            before = recogniser.spent
            read += [recogniser.heard] * len(told)
        spent, heard, tokens = spent + recogniser.spent, heard + recogniser.heard, tokens + len(read)
        reference = int(examples["made"]["mask"][row].sum()) - 1
        lags.append(average_lagging(read, recogniser.heard, reference))
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


def of_sentences(workdir: Path, waits: list[int | None], count: int) -> dict[str, dict[str, float]]:
    """For every k: quality and lagging over the test split, and times of `count` sentences."""
    found = {}
    for wait_k in waits:
        trained = load_trained(workdir, None, print, [f"task.sampler.wait_k={wait_k or 'none'}"])
        found[str(wait_k or "all")] = _quality(trained, wait_k) | _times(trained, count)
        print(wait_k or "all", found[str(wait_k or "all")], flush=True)
    return found


def _quality(trained: Trained, wait_k: int | None) -> dict[str, float]:
    presentation, real = trained.assembly.presentation, trained.assembly.data.first("test", 100_000)
    request = {"row": np.arange(len(real["made"]["value"]), dtype=np.int32), "given": real["given"]}
    made = Sampling(trained.assembly)(trained.variables, request, jax.random.key(0), never)
    (texts, references), (source,) = (presentation.plain(one)[1] for one in (made, real)), real["given"].values()
    lags, end = [], trained.assembly.task.end
    rows = source["mask"], np.asarray(made["made"]["value"]), real["made"]["mask"]
    for own, row, reference in zip(*rows, strict=True):
        length, tokens = int(own.sum()), 1 + int((row[1:] != end).sum())
        lags.append(average_lagging(wait_k_read(wait_k, length, tokens), length, int(reference.sum())))
    return {"bleu": translation_measures(texts, references)["bleu"], "average_lagging_tokens": float(np.mean(lags))}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", required=True, type=Path, metavar="RUN")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--waits", type=int, nargs="*", default=[1, 3, 5, 7, 9])
    options = parser.parse_args()
    set_up_jax()
    trained = load_trained(options.workdir, None, print)
    if trained.assembly.presentation.reads_sentences:
        found = of_sentences(options.workdir, [*options.waits, None], options.examples)
    else:
        found = of_recordings(trained, options.examples)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
