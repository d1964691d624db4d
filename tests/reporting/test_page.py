"""The page: one file that loads nothing, escapes everything, marks the best, and says what it shows."""
# SPDX-License-Identifier: Apache-2.0

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.reporting import kept_edits, samples_figure
from jaxgen.reporting.artefacts import PARTED, RECORDING
from jaxgen.reporting.columns import KNOWN, columns
from jaxgen.reporting.markup import DASH, duration, escaped, number, rounded
from jaxgen.reporting.page import write_report
from jaxgen.reporting.prose import headline
from jaxgen.reporting.run_view import RunView, read_run
from jaxgen.reporting.table import comparison_tables, figures_table
from tests.reporting.conftest import NET, REFERENCES, run_folder

CALM = settings(deadline=None)  # the machine may be busy
VOID = {"meta", "img", "link", "br"}
HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>&amp;\x00\x1b\ud800"
EMPTY = RunView("", "", {}, {}, [], [], None, {})


class Page(HTMLParser):
    """The page's elements, attributes, text, and table rows; unbalanced tags fail at once."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.best: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if "b" in self.open:
            self.best.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def page(runs: list[RunView], folder: Path, references=REFERENCES, **words) -> Page:
    out = folder / "out" / "report.html"
    write_report(runs, references, out, words.pop("title", "Five families"), **words)
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture
def runs(folders) -> list[RunView]:
    return [read_run(folder) for folder in folders]


def test_the_page_loads_nothing_and_links_only_into_itself(runs, tmp_path):
    shown = page(runs, tmp_path)
    identities = {attributes["id"] for _, attributes in shown.tags if "id" in attributes}
    for tag, attributes in shown.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert attributes.get("src", "data:").startswith("data:image/png;base64,") or "src" not in attributes
        assert not any(name.startswith("on") or name == "srcset" for name in attributes)
        if "href" in attributes:
            assert attributes["href"].removeprefix("#") in identities
    text = (tmp_path / "out" / "report.html").read_text()
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text


def test_the_pictures_on_the_page_are_those_of_the_runs(runs, tmp_path):
    sources = [attributes["src"] for tag, attributes in page(runs, tmp_path).tags if tag == "img"]
    assert [base64.b64decode(source.partition(",")[2]) for source in sources] == [run.samples.content for run in runs]


def test_the_table_has_every_figure_and_marks_the_best(runs, tmp_path):
    shown = page(runs, tmp_path)
    heads = shown.rows[0]
    table = {row[0]: dict(zip(heads, row, strict=True)) for row in shown.rows[1:8]}
    assert list(table) == ["RNNrnn-digits", "Transformertransformer-digits", "GANgan-digits", "VAEvae-digits",
                           "Diffusiondiffusion-digits", "real digits", "per-class pixel histogram"]  # fmt: skip
    likelihood = next(head for head in heads if head.startswith("Likelihood"))
    assert [row[likelihood] for row in table.values()] == ["1.74", "1.70", DASH, "≤ 1.86", "≤ 1.96", DASH, "2.43"]
    distance = next(head for head in heads if head.startswith("Fréchet distance") and NET in head)
    assert table["Diffusiondiffusion-digits"][distance] == "1.93± 0.039" and table["real digits"][distance] == "1.12"
    # In the tables' order: told, Fréchet twice, recognised, precision, recall, diversity, likelihood; then the cost.
    assert shown.rows[8][0] == "Model" and len(shown.rows[9]) == len(shown.rows[8]) == 7  # what the runs cost
    assert sorted(shown.best) == sorted(["0.58", "1.93", "2.74", "98.5\u00a0%", "0.93", "0.83", "0.91", "1.70",
                                         "41.5", "2.70", "15,820", "41,300"])  # fmt: skip


def test_all_curves_are_well_formed_and_named(runs, tmp_path):
    page(runs, tmp_path)
    charts = re.findall(r"<svg.*?</svg>", (tmp_path / "out" / "report.html").read_text(), re.DOTALL)
    titles = [ElementTree.fromstring(chart).get("aria-label") for chart in charts]
    assert titles.count("loss") == 5 and titles.count("examples per second") == 5
    gan = next(chart for chart in charts if "discriminator, train" in chart)
    assert "generator, train" in gan and "1 value not finite" in gan  # null in metrics.jsonl is a value not finite


def test_hostile_strings_stay_text(tmp_path, images):
    folder = run_folder(tmp_path, "gan", images)
    (folder / "samples" / "5000.txt").write_bytes(HOSTILE.encode("utf-8", "surrogatepass"))
    for name in ("experiment.json", "environment.json"):
        (folder / name).write_text(json.dumps({HOSTILE: {HOSTILE: [HOSTILE]}}))
    (folder / "summary.json").write_text(json.dumps({HOSTILE: 1.5, f"precision[{HOSTILE}]": 0.5, "bound": HOSTILE,
                                                     "bits_per_dim": 2.0, "word": HOSTILE}))  # fmt: skip
    line = {"step": 1, "split": HOSTILE, f"{HOSTILE}/{HOSTILE}": 1.0, "loss": HOSTILE}
    (folder / "metrics.jsonl").write_text(f"{json.dumps(line)}\n")
    run = replace(read_run(folder), name=HOSTILE, family="")
    references = {HOSTILE: {HOSTILE: 2.0}}
    shown = page([run], tmp_path, references, title=HOSTILE, notes=[HOSTILE], command=HOSTILE)
    tags = {tag for tag, _ in shown.tags}
    assert "script" not in tags and not any("onerror" in attributes for _, attributes in shown.tags)
    assert sum(tag == "img" for tag, _ in shown.tags) == 0  # the newest is a text
    assert shown.text.count("<script>alert('x')</script>") > 10
    assert not set("\x00\x1b\ud800").intersection(shown.text)


def recording(samples: bytes) -> bytes:
    return b"RIFF" + samples


def test_edits_that_a_run_keeps_are_on_its_page_in_their_order_within_a_bound(tmp_path, images, monkeypatch):
    runs = [run_folder(tmp_path, family, images) for family in ("gan", "vae")]
    folder, grid = runs[1] / "edits", (runs[1] / "samples" / "3000.png").read_bytes()
    assert "Edits" not in page([read_run(run) for run in runs], tmp_path).texts
    folder.mkdir()
    for name in ("mix-2.png", "mix-10.png", "<b>&.png"):
        (folder / name).write_bytes(grid + name.encode())
    (folder / "mix-2.txt").write_text("jaxgen edit mix --given '<script>'\n")
    (folder / "mix-3.png").touch()  # a kill has left it
    (folder / "<i>.html").write_text("<script></script>")
    shown = page([read_run(run) for run in runs], tmp_path)
    pictures = [attributes for tag, attributes in shown.tags if tag == "img"][2:]
    found = [base64.b64decode(one["src"].partition(",")[2]).removeprefix(grid).decode() for one in pictures]
    assert found == ["<b>&.png", "mix-2.png", "mix-10.png"]
    assert pictures[0]["alt"] == "<b>&.png, an edit by vae-digits" and shown.texts.count("Edits") == 1
    assert "mix-2.png: jaxgen edit mix --given '<script>'" in shown.texts and "mix-10.png" in shown.texts
    assert "Not on this page, in the run's folder edits: <i>.html" in shown.texts
    assert not {"script", "i"} & {tag for tag, _ in shown.tags}
    monkeypatch.setattr(kept_edits, "SHOWN", 2 * len(grid) + 20)
    shown = page([read_run(runs[1])], tmp_path)
    assert "Not on this page, in the run's folder edits: <i>.html, mix-10.png" in shown.texts
    (folder / "mix-2.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"edits/mix-2\.png is no PNG file"):
        read_run(runs[1])


def test_recordings_stand_beside_the_texts_made_for_them_within_a_bound(tmp_path, images, monkeypatch):
    folder = run_folder(tmp_path, "rnn", images)
    wavs = [recording(bytes([place]) * 100) for place in range(11)]
    for place, wav in enumerate(wavs, 1):
        (folder / "samples" / f"{RECORDING}{place}.wav").write_bytes(wav)
    (folder / "samples" / "4000.txt").write_text(PARTED.join([HOSTILE.encode("ascii", "ignore").decode()] * 11))
    shown = page([read_run(folder)], tmp_path)
    sources = [attributes["src"] for tag, attributes in shown.tags if tag == "audio"]
    assert [base64.b64decode(source.removeprefix("data:audio/wav;base64,")) for source in sources] == wavs
    assert "script" not in {tag for tag, _ in shown.tags} and shown.text.count("<script>alert('x')</script>") == 11
    monkeypatch.setattr(samples_figure, "PLAYED", 3 * len(wavs[0]))
    shown = page([read_run(folder)], tmp_path)
    assert sum(tag == "audio" for tag, _ in shown.tags) == 3 and shown.text.count("<script>alert('x')</script>") == 11
    (folder / "samples" / f"{RECORDING}2.wav").unlink()  # no longer one for each
    assert not any(tag == "audio" for tag, _ in page([read_run(folder)], tmp_path).tags)
    (folder / "samples" / f"{RECORDING}2.wav").write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(UserError, match=r"given-2\.wav is no WAV"):
        read_run(folder)


@CALM
@given(text=st.text(alphabet=st.characters()))
def test_escaped_text_parses_back_to_itself_but_for_what_cannot_be_carried(text):
    root = ElementTree.fromstring(f'<a b="{escaped(text)}">{escaped(text)}</a>')
    plain = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    assert (root.text or "") == plain.replace("\r\n", "\n").replace("\r", "\n")
    assert root.get("b") == re.sub("[\r\n\t]", " ", plain.replace("\r\n", "\n"))


def test_a_run_with_nothing_in_it_still_makes_a_page(tmp_path):
    shown = page([replace(EMPTY, name="bare")], tmp_path, {})
    assert "bare" in shown.text and "How to read this page" in shown.text
    assert "FID" not in shown.text and "histogram" not in shown.text  # explained only where it is shown


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no run"):
        write_report([], {}, tmp_path / "report.html", "nothing", [])


def test_the_headline_names_the_run_that_is_closest_to_guessing(runs):
    assert headline(runs).startswith("The diffusion model’s samples are the hardest to tell from real ones")
    under = replace(runs[0], summary={**runs[0].summary, "two_sample_accuracy": 0.45})
    assert headline([under, *runs[1:]]).startswith("The RNN’s")
    bits = [replace(run, summary={"bits_per_dim": run.summary["bits_per_dim"]}) for run in runs]
    assert headline(bits) == "The Transformer needs the fewest bits for held-out data: 1.70 a dimension."


def test_the_best_follows_the_columns_direction():
    assert KNOWN["two_sample_accuracy"].best([0.7, 0.46, None, 0.56]) == 0.46
    assert KNOWN["bits_per_dim"].best([2.0, 1.5, None]) == 1.5
    assert KNOWN["recall"].best([0.2, 0.9]) == 0.9
    assert KNOWN["diversity"].best([0.6, 1.3, 1.1]) == 1.1
    assert KNOWN["recall"].best([0.9]) is KNOWN["recall"].best([0.9, 0.9]) is KNOWN["steps"].best([1.0, 2.0]) is None


def test_the_same_runs_make_the_same_bytes(runs, tmp_path):
    write_report(runs, REFERENCES, tmp_path / "a.html", "t", [])
    write_report(runs, REFERENCES, tmp_path / "b.html", "t", [])
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@CALM
@given(value=st.floats(1e-4, 1e12, exclude_max=True))
def test_rounding_is_within_half_a_percent(value):
    assert float(rounded(value).replace(",", "")) == pytest.approx(value, rel=6e-3)


def test_numbers_as_a_person_writes_them():
    assert [rounded(value) for value in (0, 0.0123, 1.234, 12.34, 123.4, 12345.6, -1.5, 1e-7)] == [
        "0", "0.0123", "1.23", "12.3", "123", "12,346", "-1.50", "1.0e-07"]  # fmt: skip
    assert [duration(value) for value in (0.84, 41.5, 72, 3599.6, 8040)] == [
        "0.8 s", "42 s", "1 min 12 s", "1 h 0 min", "2 h 14 min"]  # fmt: skip
    assert [number(value) for value in (1, 2.5, True, "3", None, float("nan"), float("inf"), 10**400)] == [
        1.0, 2.5, None, None, None, None, None, None]  # fmt: skip


def test_the_tables_of_several_data_sets_name_theirs():
    def run(name, data):
        fields = {"data": {"type": "Pairs", "fields": {"train": data}}}
        return replace(EMPTY, name=name, experiment={"fields": fields}, summary={"bleu": 40.0}, data_name=data)

    tables = comparison_tables([run("a", "de-en"), run("b", "<fr-en>")], {})
    assert "<caption>How good, de-en</caption>" in tables and "<caption>How good, &lt;fr-en&gt;</caption>" in tables
    assert "<caption>How good</caption>" in comparison_tables([run("a", "de-en"), run("b", "de-en")], {})


def test_among_other_figures_stand_the_runs_that_have_some():
    runs = [replace(EMPTY, name=name, family=name, summary=told) for name, told in (
        ("gan", {"margin": 0.5, "bits_per_dim": 2.0}), ("vae", {"bits_per_dim": 1.0}))]  # fmt: skip
    quality, other = (Page(table).rows for table in re.findall("<table.*?</table>", comparison_tables(runs, {})))
    assert [row[0][:3] for row in quality[1:]] == ["GAN", "VAE"] and [row[0][:3] for row in other[1:]] == ["GAN"]


def test_an_interval_stands_in_its_figures_cell():
    row = {"brier_score": 0.25, "brier_score/low": 0.2, "brier_score/high": 0.3}
    table = figures_table("How good", "Model", [("gan", row)], [], columns([row]))
    assert table.count("<td>") == 1 and "0.250<small" in table and "0.200 to 0.300" in table
