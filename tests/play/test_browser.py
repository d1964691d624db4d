"""The page in a real browser: keys move sliders, the picture follows, what is saved can be made again."""
# SPDX-License-Identifier: Apache-2.0

import base64
import contextlib
import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, found

from jaxgen.config.changes import set_fields
from jaxgen.running.train_run import train_run
from tests.commands.command import begin, jaxgen
from tests.families.cases import experiment_of
from tests.play.test_saved import FEW

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(found() is None, reason="needs a Chromium to drive"),
]
# Waits until `ready()` holds; a page that never comes there fails the test instead of hanging it.
UNTIL = """new Promise((done, fail) => {
  const began = Date.now(), wait = setInterval(() => {
    if (READY) { clearInterval(wait); done(); }
    else if (Date.now() - began > 30000) { clearInterval(wait); fail(new Error("never: READY_TEXT")); }
  }, 20);
})"""


@contextlib.contextmanager
def served(family: str, folder: Path, *settings: str, given: str | None = "3") -> Iterator[str]:
    """The address of `play` for a run of the contract's case."""
    train_run(set_fields(experiment_of(family), [*FEW, "data.batch_size=16", *settings]), folder, lambda: False)
    process = begin("play", "--workdir", folder, "--port", "0", *(("--given", given) if given else ()))
    yield process.stdout.readline().split()[0]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0


@contextlib.contextmanager
def opened(address: str) -> Iterator[Browser]:
    with Browser(found()) as browser:
        browser.open(address)
        until(browser, "picture.complete && picture.src")
        yield browser
        assert not browser.complaints()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served("gan", tmp_path_factory.mktemp("gan") / "run") as address:
        yield address


@pytest.fixture
def page(address):
    with opened(address) as browser:
        yield browser


def until(browser: Browser, ready: str) -> None:
    ready = ready.replace("picture", "document.getElementById('picture')")
    browser.evaluate(UNTIL.replace("READY_TEXT", json.dumps(ready)[1:-1].replace("'", "")).replace("READY", ready))


def source(browser: Browser) -> str:
    return browser.evaluate("document.getElementById('picture').src")


def changed(browser: Browser, before: str) -> str:
    """The picture that comes after `before`."""
    browser.evaluate(f"window.before = {json.dumps(before)}; 0")
    until(browser, "picture.src !== window.before && picture.complete")
    return source(browser)


def command(browser: Browser) -> list[str]:
    return shlex.split(browser.evaluate("document.getElementById('command').textContent"))


def test_the_picture_follows_the_keyboard(page):
    """Every control is reached by the tabulator alone, and an arrow key moves what has the focus."""
    first, seen = source(page), []
    for _ in range(40):
        page.press("Tab")
        seen.append(page.evaluate("document.activeElement.id"))
    knob, sliders = "knob-truncation", [f"slider-{number}" for number in range(8)]
    assert {"class", "seed", "other", "count", knob, *sliders, "save", "reset"} <= set(seen)
    page.evaluate("document.getElementById('slider-0').focus()")
    page.press("End")
    moved = changed(page, first)
    assert page.evaluate("document.getElementById('slider-0').value") == "3"
    assert any(word.startswith("--sliders=3,0") for word in command(page))
    page.evaluate("document.getElementById('reset').focus()")
    page.evaluate("document.getElementById('reset').click()")
    assert changed(page, moved) == first


def test_class_seed_count_and_knob_are_what_the_command_says(page):
    before = source(page)
    for name, value in (("class", "7"), ("seed", "12"), ("count", "3"), ("knob-truncation", "0.5")):
        page.evaluate(
            f"(() => {{ const one = document.getElementById('{name}'); one.value = '{value}';"
            "one.dispatchEvent(new InputEvent('input', { bubbles: true })); })()"
        )
        before = changed(page, before)
    words = command(page)
    assert words[words.index("--set") + 1] == "task.sampler.truncation=0.5" and "--given=7" in words
    assert words[words.index("--seed") + 1] == "12" and words[words.index("--count") + 1] == "3"


def saved_again(page: Browser) -> None:
    """There and back through the whole of it: slider, browser, server, file, shell."""
    first = source(page)
    page.evaluate("document.getElementById('slider-1').focus()")
    for _ in range(3):
        page.press("ArrowLeft")
    changed(page, first)
    until(page, "document.getElementById('slider-1').value === '-0.15'")
    page.evaluate("new Promise((done) => setTimeout(done, 500))")
    shown = source(page)
    page.evaluate("document.getElementById('save').click()")
    until(page, "document.getElementById('told').textContent.startsWith('Saved as ')")
    words = command(page)
    picture = Path(words[words.index("--out") + 1])
    content = picture.read_bytes()
    assert content == base64.b64decode(shown.partition(",")[2])
    picture.unlink()
    process = jaxgen(*words[1:])
    assert process.returncode == 0, process.stderr
    assert picture.read_bytes() == content


def test_what_is_saved_is_what_is_seen_and_its_command_makes_it_again(page):
    saved_again(page)


@pytest.mark.parametrize("family", ["vae", "diffusion"])
def test_so_it_is_for_the_other_families(family, tmp_path):
    settings = ("task.importance_samples=4",) if family == "vae" else ("task.sampler.steps=8",)
    with served(family, tmp_path / "run", *settings) as address, opened(address) as page:
        saved_again(page)


def test_a_fast_slider_leaves_no_queue(page):
    """A hundred moves at once: few pictures are asked for, and the last one shown is that of the last move."""
    page.evaluate(
        "window.count = 0; new MutationObserver(() => { window.count++; }).observe(document.getElementById('picture'),"
        " { attributes: true, attributeFilter: ['src'] }); const slider = document.getElementById('slider-2');"
        "for (let number = 0; number < 100; number++) { slider.value = number / 50;"
        "slider.dispatchEvent(new InputEvent('input', { bubbles: true })); }"
    )
    until(page, "document.getElementById('command').textContent.includes('--sliders=0,0,2,')")
    assert page.evaluate("window.count") <= 3


def test_a_mistake_is_told_on_the_page(page):
    page.evaluate("document.getElementById('knob-truncation').parentNode.querySelector('[type=number]').value = '-1'")
    page.evaluate("document.getElementById('slider-0').dispatchEvent(new InputEvent('input', { bubbles: true }))")
    until(page, "document.getElementById('status').textContent.includes('truncation is -1')")
    page.events = [event for event in page.events if "400" not in json.dumps(event)]  # the answer's status is logged


@pytest.mark.parametrize("width", [1200, 600])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_window(page, width, dark, tmp_path):
    page.screenshot(tmp_path / "page.png", width, 900, dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is dark
    names = page.evaluate(
        "[...document.querySelectorAll('input, select')].filter((one) => one.offsetParent)"
        ".map((one) => one.labels.length > 0 || one.ariaLabel !== null)"
    )
    assert len(names) > 15 and all(names)
