"""Missing figures in the report and in results.json: null and a dash, with their reasons."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

from jaxgen.reporting.columns import columns
from jaxgen.reporting.prose import headline
from jaxgen.reporting.reasons import by_reason
from jaxgen.reporting.run_view import RunView, results_json
from jaxgen.reporting.table import comparison_tables

EMPTY = RunView("small", "vae", {}, {}, [], [], None, {})
WHY = "needs at least 5 examples a side: 3"
MISSING = {"bits_per_dim": 2.0, "two_sample_accuracy": None, "unmeasured": {"two_sample_accuracy": WHY}}


def test_a_missing_figure_has_a_column_and_a_dash_with_its_reason():
    names = [column.name for column in columns([MISSING])]
    assert names == ["two_sample_accuracy", "bits_per_dim"]
    table = comparison_tables([replace(EMPTY, summary=MISSING)], {})
    assert f'<td class="none" title="{WHY}">–</td>' in table


def test_results_json_holds_null_and_the_reason():
    told = results_json([replace(EMPTY, summary=MISSING)], {"real pictures": MISSING, "other": {"bits_per_dim": 1.0}})
    for row in (told["vae"], told["references"]["real pictures"]):
        assert row["two_sample_accuracy"] is None and row["unmeasured"] == {"two_sample_accuracy": WHY}
    assert "unmeasured" not in told["references"]["other"]


def test_one_sentence_for_each_reason():
    row = {"unmeasured": {"precision": "too few", "recall": "too few", "bits_per_dim": "the value is nan"}}
    assert by_reason(row) == [
        "not measured: precision, recall (too few)",
        "not measured: bits_per_dim (the value is nan)",
    ]
    assert by_reason({}) == by_reason({"unmeasured": "of an older run"}) == []


def test_the_headline_speaks_of_projected_figures_too():
    name = "two_sample_accuracy[projected to 512]"
    runs = [replace(EMPTY, family=family, summary={name: value}) for family, value in (("vae", 0.9), ("gan", 0.6))]
    assert headline(runs).startswith("The GAN’s samples are the hardest to tell from real ones")


def test_rows_of_other_data_stand_in_no_table_of_theirs():
    rows = {"real digits": {"bits_per_dim": 1.0, "data": "digits"}, "real cats": {"bits_per_dim": 3.0, "data": "cats"}}
    run = replace(EMPTY, summary={"bits_per_dim": 2.0}, data_name="cats")
    table = comparison_tables([run], rows)
    assert "real cats" in table and "real digits" not in table
    assert "real digits" in comparison_tables([replace(run, data_name="")], rows)  # an older run does not say
