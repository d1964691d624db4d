"""`jaxgen bench` lists the benchmarks and runs them, from a checkout and wherever it is called from."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import subprocess
import sys

import pytest

from tests.commands.command import ROOT, here, jaxgen, told


def test_benchmarks_are_listed_and_an_unknown_one_is_told():
    lines = here("bench").stdout.splitlines()
    assert {"train_step", "sampling", "gan"} <= {line.split()[0] for line in lines}
    assert "harness" not in {line.split()[0] for line in lines}
    assert told(here("bench", "train_stp")) == (
        "jaxgen: no benchmark is called 'train_stp'; did you mean 'train_step'?; `jaxgen bench` lists them"
    )


def test_a_training_step_is_measured_and_kept(tmp_path):
    """Every way to run it agrees, or it would not be timed."""
    small = ["task.network.width=8", "task.network.head=8", "task.network.cell=MIN_GRU"]
    how = ["--set", *small, "--batch", "16", "--steps", "2", "--blocks", "2", "--out", tmp_path / "rows.jsonl"]
    one_device = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=1"
    process = jaxgen("bench", "train_step", "rnn/digits", *how, env=os.environ | {"XLA_FLAGS": one_device})
    assert process.returncode == 0, process.stderr
    (row,) = (json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines())
    assert row["batch"] == 16 and len(row["config_sha256"]) == 16 and len(row["yardstick"]) == 2
    names = [one["name"] for one in row["contestants"]]
    assert names == ["1 device, jit, single steps", "1 device, jit, 2 steps a call"]
    first, second = (one["compile_seconds"] for one in row["contestants"])
    assert first > 0 and second is None, "single and scanned calls are one program"
    for one in row["contestants"]:
        assert len(one["seconds"]) == 2
        assert one["examples_per_second"] == pytest.approx(16 / one["p50_seconds"])
        assert 0 <= one["data_wait_share"] < 1 and one["flops_share"] > 0


def test_a_benchmark_s_mistakes_are_told_in_a_sentence(tmp_path):
    process = here("bench", "train_step", "gan/digts")
    assert process.returncode == 2 and "gan/digits" in told(process)
    process = here("bench", "sampling", "gan/digits", "--compare", tmp_path / "none.jsonl")
    assert process.returncode == 2 and "none.jsonl cannot be read" in told(process)


@pytest.mark.slow
def test_the_whole_benchmark_keeps_the_rows_of_each_with_charts_and_tells_what_is_not_whole(tmp_path):
    """Of two alone, one of which PyTorch need not be here for. Nothing is overwritten."""
    out = tmp_path / "rows.jsonl"
    process = jaxgen("bench", "everything", "--only", "log_mel", "sampling", "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert process.returncode == 0 and "2 of 2: sampling" in process.stderr and "16 rows in" in process.stderr
    assert rows[0]["contestants"][0]["seconds"] and " log_mel " in rows[0]["command"]
    assert len({row["row"] for row in rows}) == len(rows)
    assert rows[0]["row"] in out.with_suffix(".html").read_text()
    again = jaxgen("bench", "everything", "--only", "log_mel", "--out", out)
    assert again.returncode == 2 and "is there already" in told(again)


def test_a_benchmark_of_a_package_that_is_not_there_says_so(tmp_path):
    hidden = "import sys; sys.modules['skimage'] = None\nfrom jaxgen import cli\ncli.main(['bench', 'restoration'])"
    process = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2 and "restoration needs skimage, which is not installed here" in told(process)
