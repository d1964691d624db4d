"""Results are told alike as JSON and as a table, and what became slower is found whatever the machine did meanwhile."""
# SPDX-License-Identifier: Apache-2.0

import json
from functools import partial

import comparison
import numpy as np
import peaks
import pytest
import results
from comparison import slower

from jaxgen.errors import UserError
from jaxgen.timing.contest import Does, Line, Refused, Row
from jaxgen.timing.ratio import change

WHERE = {"command": "race.py", "processor": "an abacus", "cores": "2", "devices": "2 of cpu (cpu)"}


@pytest.fixture
def here(monkeypatch):
    """A machine that is known: its name, and what it reaches."""
    monkeypatch.setattr(results, "here", lambda: WHERE)
    monkeypatch.setattr(peaks, "product", lambda precision: 1e9)
    monkeypatch.setattr(peaks, "bandwidth", lambda: 1e8)
    monkeypatch.setattr(peaks, "times_one", lambda devices: devices)


def test_table_and_json_say_the_same(here):
    does = Does(examples=8, tokens=32, flops=1e6, bytes=1e5, devices=2)
    lines = (Line("a", (0.002,) * 3, 1.5, 3 << 20, does, 0.25), Line("b", (0.003, 0.005, 0.004), None, None))
    row = Row("race", "float32", lines, 0.5, ("b ran uphill",), (0.1,) * 3, {"config": "gan/digits"})
    told, table = json.loads(results.to_json(row, WHERE)), results.to_markdown([row], WHERE)
    assert told["row"] == "race" and told["processor"] == "an abacus" and told["notes"] == ["b ran uphill"]
    assert told["schema"] == results.SCHEMA and told["config"] == "gan/digits" and told["yardstick"] == [0.1] * 3
    a, b = told["contestants"]
    assert a["examples_per_second"] == 4000 and a["tokens_per_second"] == 16000
    assert a["flops_share"] == pytest.approx(1e6 / 0.002 / 2e9)  # of two devices
    assert a["bandwidth_share"] == pytest.approx(1e5 / 0.002 / 2e8)
    assert (b["p50_seconds"], b["relative"]) == (0.004, 2) and "flops_share" not in b
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line]
    assert dict(zip(shown[0], shown[2], strict=True)) == {
        "row": "race",
        "contestant": "a",
        "ms a step, median": "2.000",
        "p10 to p90": "2.000 to 2.000",
        "relative": "1.00",
        "compiling, s": "1.50",
        "peak of a block, MiB": "3",
        "examples/s": "4,000",
        "tokens/s": "16,000",
        "GFLOP/s": "0.5",
        "of a product's": "25.0%",
        "of a copy's bandwidth": "25.0%",
        "waiting for data": "25.0%",
    }
    assert shown[3][2:5] == ["4.000", "3.200 to 4.800", "2.00"] and set(shown[3][5:]) == {"-"}
    assert "b ran uphill" in table and "an abacus" in table and "race.py" in table


def test_columns_that_nobody_fills_are_left_out():
    table = results.to_markdown([Row("race", "float32", (Line("a", (1.0,), None, None),), 0.5)], WHERE)
    assert table.splitlines()[0] == "| row | contestant | ms a step, median | p10 to p90 | relative |"


def measured(seconds, yardstick=1.0, name="race", blocks=20, noise=0.02, seed=0):
    """A row whose one contestant takes about so long on a machine whose yardstick takes so long."""
    draw = np.random.default_rng(seed)
    drift = 1 + 0.3 * draw.random(blocks)  # of the machine, which both feel
    times = seconds * yardstick * drift * (1 + noise * draw.standard_normal(blocks))
    lines = (Line("jaxgen", tuple(times), None, None),)
    return Row(name, "float32", lines, 0.5, yardstick=tuple(yardstick * drift))


def as_read(*rows):
    return [json.loads(results.to_json(row, WHERE)) for row in rows]


def test_a_planted_slow_down_is_found_and_the_machine_s_is_not():
    before = as_read(measured(2.0), measured(3.0, name="other"))
    (told,) = slower(before, as_read(measured(2.2, seed=1), measured(3.0, name="other", seed=2)))
    assert told.startswith("race, jaxgen: 1.1")
    assert not list(slower(before, as_read(measured(2.0, yardstick=1.7, seed=3))))  # a slower machine
    assert not list(slower(before, as_read(measured(2.06, seed=4))))  # 3 %: within what is allowed
    assert not list(slower(before, as_read(measured(2.3, noise=0.5, blocks=5, seed=5))))  # lost in the noise
    (told,) = slower(before, as_read(measured(9.0, name="a row that was not there")))
    assert told.startswith("nothing was compared")


def test_the_interval_covers_a_known_change():
    covered = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        before, after = draw.normal(1.0, 0.05, 30), draw.normal(1.2, 0.06, 30)
        _, low, high = change(before, after)
        covered += low <= 1.2 <= high
    assert covered >= 88


def options(tmp_path, *arguments):
    return results.parser("A race.\n", 1).parse_args([str(argument) for argument in arguments])


def test_what_was_kept_is_compared_with(here, tmp_path, capsys):
    old = tmp_path / "old.jsonl"
    rows = [partial(measured, 2.0), partial(measured, 3.0, name="other")]
    assert results.report(rows, options(tmp_path, "--out", old)) == 0
    assert [json.loads(line)["row"] for line in old.read_text().splitlines()] == ["race", "other"]
    capsys.readouterr()
    assert results.report([partial(measured, 2.0, seed=1)], options(tmp_path, "--compare", old)) == 0
    assert results.report([partial(measured, 2.5, seed=1)], options(tmp_path, "--compare", old)) == 1
    assert "race, jaxgen: 1.2" in capsys.readouterr().err


def test_a_row_that_is_refused_is_told_and_the_rest_runs(here, tmp_path, capsys):
    def refused():
        raise Refused("race: no wheels; not timed")

    assert results.report([refused, partial(measured, 2.0)], options(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert err == "race: no wheels; not timed\n" and json.loads(out.splitlines()[0])["row"] == "race"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ("not JSON", "holds no results, a JSON object a line"),
        ("", "holds no results of schema 1"),
        ('{"schema": 0}', "holds no results of schema 1"),
        ('{"schema": 1}', "holds no results of schema 1"),
        (
            json.dumps({"schema": 1, "row": "a", "yardstick": [], "contestants": [], **WHERE, "processor": "a loom"}),
            "processor is 'a loom', and here it is 'an abacus'",
        ),
    ],
)
def test_results_that_cannot_be_compared_with_are_told_before_anything_is_measured(here, tmp_path, content, told):
    old = tmp_path / "old.jsonl"
    if content is not None:
        old.write_text(content)

    def never():
        raise AssertionError("measured")

    with pytest.raises(UserError, match=told):
        results.report([never], options(tmp_path, "--compare", old))


def test_the_reference_of_this_kind_of_machine_is_found_by_its_name(here, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "REFERENCES", tmp_path)
    kept = tmp_path / "an-abacus-2-2-of-cpu-cpu.jsonl"
    with pytest.raises(UserError, match=r"no reference is kept of this kind of machine.*an-abacus-2-2-of-cpu-cpu"):
        results.report([], options(tmp_path, "--compare", "reference"))
    assert results.report([partial(measured, 2.0)], options(tmp_path, "--out", kept)) == 0
    assert results.report([partial(measured, 2.0, seed=1)], options(tmp_path, "--compare", "reference")) == 0
    assert results.report([partial(measured, 2.5, seed=1)], options(tmp_path, "--compare", "reference")) == 1
    assert "race, jaxgen: 1.2" in capsys.readouterr().err


def test_results_that_are_there_are_never_overwritten(here, tmp_path):
    kept = tmp_path / "kept.jsonl"
    kept.write_text("an hour's work")
    for place, told in ((kept, "is there already"), (tmp_path, "is a folder"), (tmp_path / "no" / "x", "no folder")):
        with pytest.raises(UserError, match=told):
            results.report([partial(measured, 2.0)], options(tmp_path, "--out", place))
    assert kept.read_text() == "an hour's work"


@pytest.mark.parametrize("word", ["0", "-1", "1.5", "x"])
def test_a_number_of_blocks_is_from_1_on(word, capsys):
    with pytest.raises(SystemExit, match="2"):
        results.parser("A race.\n", 1).parse_args(["--blocks", word])
    assert "number from 1 on" in capsys.readouterr().err
