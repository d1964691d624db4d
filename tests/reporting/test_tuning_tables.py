"""The page of runs that start from others: tables of before and after, pictures side by side under their start."""
# SPDX-License-Identifier: Apache-2.0

import base64
from dataclasses import replace

import pytest

from jaxgen.reporting.markup import DASH
from jaxgen.reporting.prose import headline, lede
from jaxgen.reporting.run_view import RunView, read_run
from tests.reporting.test_page import HOSTILE, Page, page


@pytest.fixture
def plain(folders) -> list[RunView]:
    return [read_run(folder) for folder in folders]


@pytest.fixture
def tuned(tuned_folders) -> list[RunView]:
    return [read_run(folder) for folder in tuned_folders]


def tables(shown: Page) -> list[dict[str, dict[str, str]]]:
    """The tables of several columns: a row's name to its cells by their heads."""
    found = []
    for row in shown.rows:
        if row[0] == "Model":
            heads, _ = row, found.append({})
        elif len(row) > 2:
            found[-1][row[0]] = dict(zip(heads, row, strict=True))
    return found


def test_plain_runs_are_compared_and_the_others_stand_below(plain, tuned, tmp_path):
    alone, shown = page(plain, tmp_path), page([*tuned, *plain], tmp_path)
    assert tables(shown)[:2] == tables(alone)
    by_data, by_reward = tables(shown)[2:]
    likelihood, accuracy = (next(head for head in by_data["RNNrnn-digits_data"] if head.startswith(word))
                            for word in ("Likelihood", "discriminator accuracy"))  # fmt: skip
    assert [row[likelihood] for row in by_data.values()] == ["2.72 → 1.74", "2.72 → 1.70", DASH, "≤ 2.72 → ≤ 1.86",
                                                             "≤ 2.72 → ≤ 1.96"]  # fmt: skip
    assert by_data["GANgan-digits_data"][accuracy] == "0.440 → 0.540"
    row = by_reward["VAEvae-digits_reward"]
    assert row["Started from"] == "vae-digits" and {"0.07 → 1.00", "0.284", "0.69", DASH} <= set(row.values())


def test_each_tuning_stands_under_its_start_with_both_pictures(plain, tuned, tmp_path):
    shown = page([*plain, *tuned], tmp_path)
    sources = [attributes["src"] for tag, attributes in shown.tags if tag == "img"]
    wanted = [
        picture
        for place, run in enumerate(plain)
        for picture in (
            run.samples,
            *(one for of in tuned[2 * place : 2 * place + 2] for one in (of.samples_before, of.samples)),
        )
    ]
    assert [base64.b64decode(source.partition(",")[2]) for source in sources] == [one.content for one in wanted]
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    links = [attributes["href"][1:] for _, attributes in shown.tags if "href" in attributes]
    assert len(ids) == len(set(ids)) == 15 and set(links) == set(ids)
    assert "script" not in {tag for tag, _ in shown.tags}
    assert "toward class probability (target 7)" in shown.text and "80.1\u00a0% frozen" in shown.text


def test_headline_and_lede_speak_of_the_plain_runs(plain, tuned):
    assert headline([*tuned, *plain]) == headline(plain)
    assert lede([*plain, *tuned]) == (
        f"{lede(plain)} Ten more start from trained runs: five fine-tuned on data and five tuned toward a reward."
    )
    assert lede([*plain, tuned[0]]).endswith("One more starts from trained runs: one fine-tuned on data.")


def test_tuned_runs_alone_make_a_page(tuned, tmp_path):
    shown = page(tuned[:3], tmp_path, {})
    assert "Started from rnn-digits" in shown.text and "Started from gan-digits" not in shown.text
    ids = {attributes["id"] for _, attributes in shown.tags if "id" in attributes}
    assert {attributes["href"][1:] for _, attributes in shown.tags if "href" in attributes} == ids


def test_a_tuning_of_a_tuning_stands_under_the_first_start_and_circles_end(plain, tuned, tmp_path):
    second = replace(tuned[0], name="again", experiment=started("rnn-digits_data"))
    assert "Started from" not in headings(page([plain[0], tuned[0], second], tmp_path))
    first = replace(tuned[0], experiment=started("again"))
    assert "Started from" in headings(page([plain[0], first, second], tmp_path))


def test_bare_and_hostile_tunings_are_shown_as_text(plain, tmp_path):
    bare = RunView(HOSTILE, "", started(f"a/{HOSTILE}"), {}, [], [], None, {})
    rewarded = replace(
        bare,
        experiment={
            "fields": {
                "start": HOSTILE,
                "rewards": {"type": HOSTILE, "fields": {"reward": {"type": HOSTILE, "fields": {HOSTILE: HOSTILE}}}},
            }
        },
    )
    for runs in ([bare], [rewarded], [*plain, bare, rewarded]):
        shown = page(runs, tmp_path, {})
        assert "script" not in {tag for tag, _ in shown.tags}
        assert not any("onerror" in attributes for _, attributes in shown.tags)


def started(name: str) -> dict:
    return {"type": "jaxgen.experiment.Experiment", "fields": {"start": name, "rewards": None}}


def headings(shown: Page) -> str:
    """The page's text from the sections on: behind the tables and how to read them."""
    return shown.text.partition("How to read this page")[2]
