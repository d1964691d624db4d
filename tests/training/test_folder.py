"""A run's folder is one process's, keeps whole lines, and says what is wrong with it."""
# SPDX-License-Identifier: Apache-2.0

import json
import math

import pytest

from jaxgen.errors import UserError
from jaxgen.training.folder import METRICS, RunFolder, merge_summary, read_json, spent_in


def test_lines_past_a_step_and_a_torn_last_line_are_forgotten(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (10, 20, 20, 30):
        folder.log(METRICS, {"step": step, "loss": 0.1 * step})
    with open(tmp_path / METRICS, "a") as file:
        file.write('{"step": 20, "lo')
    folder.forget_after(20)
    assert [json.loads(line)["step"] for line in (tmp_path / METRICS).read_text().splitlines()] == [10, 20, 20]


def test_numbers_survive_to_the_last_bit_and_what_is_not_finite_is_null(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log(METRICS, {"step": 1, "loss": 0.1 + 0.2, "bad": math.nan, "worse": math.inf})
    line = json.loads((tmp_path / METRICS).read_text())
    assert line["loss"] == 0.1 + 0.2 and line["bad"] is None and line["worse"] is None


def test_a_second_process_is_kept_out(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(UserError, match="another process is training in"):
        RunFolder(tmp_path)
    folder.close()
    RunFolder(tmp_path).close()


def test_a_workdir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .* give another --workdir"):
        RunFolder(tmp_path / "file" / "run")


def test_a_summary_grows(tmp_path):
    merge_summary(tmp_path, {"steps": 3})
    merge_summary(tmp_path, {"bits_per_dim": 1.5})
    assert read_json(tmp_path / "summary.json") == {"steps": 3, "bits_per_dim": 1.5}


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(UserError, match=r"experiment\.json cannot be read"):
        RunFolder(tmp_path).document()


def test_what_a_killed_run_has_spent_is_told_by_its_last_whole_line(tmp_path):
    (tmp_path / "timing.jsonl").write_text('{"step": 3, "spent": {"step": 2.5}}\n{"step": 6, "spent": {"st')
    assert spent_in(tmp_path) == {"step": 2.5}
    assert spent_in(tmp_path / "none") == {}
