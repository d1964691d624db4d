"""Every second belongs to one cause, and all of them add up."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.running.train_run import train_run
from jaxgen.training.goodput import Cause, Goodput
from tests.commands.command import jaxgen, train_small
from tests.running.test_rollback import experiment

SPANS = st.recursive(
    st.lists(st.integers(1, 9), min_size=1, max_size=1),
    lambda inner: st.lists(st.one_of(st.integers(1, 9), st.tuples(st.sampled_from(Cause), inner)), max_size=4),
    max_leaves=12,
)


@given(SPANS, st.dictionaries(st.sampled_from([cause.value for cause in Cause]), st.integers(0, 99)))
def test_what_is_within_counts_for_the_inner_one_and_all_adds_up(spans, before):
    now, expected = [0], dict.fromkeys(Cause, 0)
    goodput = Goodput(0, clock=lambda: now[0])

    def live(spans, cause):
        for span in spans:
            if isinstance(span, int):
                now[0] += span
                expected[cause] += span
            else:
                with goodput.spending(span[0]):
                    live(span[1], span[0])

    live(spans, Cause.START)
    assert goodput.spent() == {cause.value: seconds for cause, seconds in expected.items()}
    goodput.remember(before)
    assert sum(goodput.spent().values()) == now[0] + sum(before.values())


def test_an_error_ends_the_span_that_it_leaves():
    now = [0]
    goodput = Goodput(0, clock=lambda: now[0])
    with pytest.raises(KeyError), goodput.spending(Cause.CHECKPOINT):
        now[0] += 2
        raise KeyError
    now[0] += 3
    assert goodput.spent()["checkpoint"] == 2 and goodput.spent()["start"] == 3


def test_a_runs_causes_add_up_to_its_wall_clock_over_a_stop(tmp_path):
    """Within 1 %, and what its processes before have spent is remembered."""
    walls, calls = [], iter(range(100))
    for stopped in (lambda: next(calls) >= 5, lambda: False):
        began = time.perf_counter()
        train_run(experiment(), tmp_path, stopped, began)
        walls.append(time.perf_counter() - began)
        spent = json.loads((tmp_path / "summary.json").read_text())["spent"]
        assert set(spent) == {cause.value for cause in Cause}
        assert sum(spent.values()) == pytest.approx(sum(walls), rel=0.01, abs=0.1 + 0.3 * (len(walls) - 1))
    assert spent["compile"] > 0 and spent["step"] > 0 and spent["sampling"] > 0
    assert "spent" not in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.slow  # a claim of one in a hundred wants a run of many seconds; the interpreter's farewell takes 0.4
def test_a_processes_causes_add_up_to_a_clock_outside_it(tmp_path):
    began = time.perf_counter()
    process = jaxgen(*train_small("configs/rnn/digits.py", tmp_path / "run", "steps=6000"), env=os.environ)
    wall = time.perf_counter() - began
    assert process.returncode == 0, process.stderr
    spent = json.loads((tmp_path / "run" / "summary.json").read_text())["spent"]
    assert sum(spent.values()) == pytest.approx(wall, rel=0.01, abs=0.6)
