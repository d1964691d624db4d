"""From a slider's move to the picture on the page, in a real browser: `jaxgen play` and a headless Chromium.

    python benchmarks/play_latency.py --workdir RUN [--set FIELD=VALUE ...] [--count N] [--moves N]

Keys move the first slider, as a person's do. A move counts from the browser's own time of the input event until the
frame that shows the decoded picture has been painted: script, request, network, noise, decoder, PNG and drawing are in
it. Then a drag, an event every 4 ms: from its last one to the picture of where it ended, and how many pictures were
asked for on the way. One JSON object a run, then a Markdown table.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

from browser import Browser, found
from results import here

WARM_UP = 20  # moves
DRAG = 150  # events
# `shown` is resolved after the frame in which a new picture is painted, with its time on the page's clock.
WATCH = """
const latency = { moved: 0, pictures: 0, shown: null }, painted = new MessageChannel();
document.addEventListener("input", (event) => { latency.moved = event.timeStamp; }, true);
painted.port1.onmessage = () => { latency.shown?.(performance.now() - latency.moved); };
new MutationObserver(async () => {
  latency.pictures++;
  try { await document.getElementById("picture").decode(); } catch { return; }  // the next one has come meanwhile
  requestAnimationFrame(() => painted.port2.postMessage(0));
}).observe(document.getElementById("picture"), { attributes: true, attributeFilter: ["src"] });
"""
FIRST = """new Promise((done) => {
  const wait = setInterval(() => {
    if (document.getElementById("picture").complete && document.getElementById("picture").src) {
      clearInterval(wait);
      done();
    }
  }, 20);
})"""
NEXT = "latency.next = new Promise((done) => { latency.shown = done; }); 0"
SETTLED = """new Promise((done) => {
  const slider = document.getElementById("slider-0"); let left = DRAG, last = 0, picture = 0;
  latency.pictures = 0; latency.shown = (late) => { picture = late; last = performance.now(); };
  const drag = setInterval(() => {
    if (left-- <= 0) {
      clearInterval(drag);
      const wait = setInterval(() => { if (last && performance.now() - last > 1000) {
        clearInterval(wait); done([picture, latency.pictures]); } }, 50);
      return;
    }
    slider.value = 3 * Math.sin(left / 20);
    slider.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }, 4);
})""".replace("DRAG", str(DRAG))


def moves(browser: Browser, count: int) -> list[float]:
    """Milliseconds of each of `count` moves, the first ones left out."""
    browser.evaluate("document.getElementById('slider-0').focus()")
    times = []
    for number in range(WARM_UP + count):
        browser.evaluate(NEXT)
        browser.press("ArrowRight" if number // 50 % 2 == 0 else "ArrowLeft")
        times.append(browser.evaluate("latency.next"))
    return times[WARM_UP:]


def measured(address: str, count: int) -> dict[str, float]:
    with Browser(found()) as browser:
        browser.open(address)
        browser.evaluate(FIRST)
        browser.evaluate(WATCH)
        times = moves(browser, count)
        late, asked = browser.evaluate(SETTLED)
        if wrong := browser.complaints():
            raise RuntimeError(f"the page complains: {wrong[0]}")
    low, median, high = statistics.quantiles(times, n=4)
    return {
        "median_ms": median,
        "lower_quartile_ms": low,
        "upper_quartile_ms": high,
        "slowest_of_20_ms": statistics.quantiles(times, n=20)[-1],
        "after_a_drag_ms": late,
        "drag_events": DRAG,
        "pictures_of_the_drag": asked,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="From a slider's move to the picture on the page.")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--set", nargs="+", default=[])
    parser.add_argument("--given")
    parser.add_argument("--count", default="1")
    parser.add_argument("--moves", type=int, default=200)
    options = parser.parse_args(arguments)
    if found() is None:
        sys.exit("there is no Chromium here to be driven; install chromium")
    command = [sys.executable, "-m", "jaxgen.cli", "play", "--workdir", options.workdir, "--port", "0"]
    command += ["--count", options.count, *(["--given", options.given] if options.given else [])]
    command += ["--set", *options.set] if options.set else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if not (line := server.stdout.readline()):
            sys.exit(server.wait())
        load = os.getloadavg()[0]
        figures = {key: round(value, 1) for key, value in measured(line.split()[0], options.moves).items()}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    what = " ".join([Path(options.workdir).name, *options.set])
    print(json.dumps({"run": what, "count": int(options.count), "load_before": round(load, 1), **figures, **here()}))
    print("| run | pictures | median ms | quartiles | slowest of 20 | after a drag | pictures of its events |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {what} | {options.count} | {figures['median_ms']} | {figures['lower_quartile_ms']} to "
        f"{figures['upper_quartile_ms']} | {figures['slowest_of_20_ms']} | {figures['after_a_drag_ms']} | "
        f"{figures['pictures_of_the_drag']:.0f} of {DRAG} |"
    )


if __name__ == "__main__":
    main()
