"""Charts of results: points stand where the rows have them, under a roof that is the lower of two known lines."""
# SPDX-License-Identifier: Apache-2.0

import json
from pathlib import Path
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import plot
import pytest
from hypothesis import given
from hypothesis import strategies as st
from roofline import attainable, intensity

from jaxgen.errors import UserError

MACHINE = {"processor": "an abacus", "cores": "2", "devices": "2 of cpu (cpu)"}
KEPT = {"schema": 1, "precision": "float32", "yardstick": [], **MACHINE}
PEAKS = {"flops_peak": 1e11, "bandwidth_peak": 1e10}


def row(batch: int, parameters: int = 100, **rates: float) -> dict:
    """One of a series, whose contestants make so many examples a second."""
    contestants = [{"name": name, "examples_per_second": rate} for name, rate in rates.items()]
    varied = {"series": "gan/digits, training step", "batch": batch, "parameters": parameters}
    return {"row": f"gan/digits, training step of {batch}", **varied, "contestants": contestants, **KEPT}


def raced() -> dict:
    """A row with operations: of ours the bytes are known, of the peer's not."""
    ours = {"name": "jaxgen", "flops_per_second": 5e10, "intensity": 8.0, **PEAKS}
    contestants = [ours, {"name": "PyTorch", "flops_per_second": 4e10, "intensity": None, "flops_peak": 1e11}]
    return {"row": "race", "contestants": contestants, **KEPT}


def titles_of(page: str) -> list[str]:
    """Of the charts, each well-formed."""
    svgs = [f"<svg{part.partition('</svg>')[0]}</svg>" for part in page.split("<svg")[1:]]
    return [ElementTree.fromstring(svg).get("aria-label") for svg in svgs]


def test_a_contestant_s_rates_over_batch_are_one_curve_whatever_order_they_were_measured_in():
    rows = [row(64, a=300.0, b=200.0), row(16, a=100.0, b=150.0), row(256, a=400.0)]
    curves, unit = plot.throughput_curves(rows, "batch")
    assert unit == "examples/s"
    assert {curve.name: curve.points for curve in curves} == {
        "a": [(16, 100.0), (64, 300.0), (256, 400.0)],
        "b": [(16, 150.0), (64, 200.0)],
    }
    assert plot.throughput_curves(rows, "parameters")[0] == []  # one size alone


def test_two_sizes_at_two_batches_are_four_charts():
    rows = [row(16, 100, a=1.0), row(16, 200, a=2.0), row(64, 100, a=3.0), row(64, 200, a=4.0)]
    assert titles_of(plot.page(rows, "")) == [
        f"gan/digits, training step, {kept}: examples/s"
        for kept in ("parameters 100", "parameters 200", "batch 16", "batch 64")
    ]


def test_a_peer_without_bytes_stands_at_the_intensity_of_the_first_that_has_them():
    roof, ours, peer = plot.roofline_curves(raced())
    assert (ours.points, peer.points) == ([(8.0, 5e10)], [(8.0, 4e10)])
    assert roof.points == [(2.0, 2e10), (10.0, 1e11), (40.0, 1e11)]  # 10 bytes/ns up to 100 FLOP/ns: the ridge is at 10


@given(st.floats(1e-3, 1e6), st.floats(1e6, 1e15), st.floats(1e6, 1e13))
def test_the_roof_is_the_bandwidth_before_its_ridge_and_the_peak_behind_it(x, peak, bandwidth):
    expected = bandwidth * x if x < peak / bandwidth else peak
    assert attainable(x, peak, bandwidth) == pytest.approx(expected)


def test_the_intensity_of_a_product_is_counted_from_its_shapes():
    """2 n^3 operations over three matrices of n^2 numbers of four bytes."""
    size = 256
    program = jax.jit(jnp.matmul).lower(jnp.ones((size, size)), jnp.ones((size, size))).compile()
    assert intensity(program) == pytest.approx(2 * size**3 / (3 * 4 * size**2), rel=0.05)
    assert intensity(lambda: None) is None


def test_the_page_is_written_once(tmp_path):
    file, out = tmp_path / "rows.jsonl", tmp_path / "charts.html"
    file.write_text("".join(json.dumps(one) + "\n" for one in (row(16, a=1.0), row(64, a=2.0), raced())))
    assert plot.main([str(file), "--out", str(out)]) == 0
    text = out.read_text()
    assert titles_of(text) == [
        "gan/digits, training step, parameters 100: examples/s",
        "race, float32: FLOP/s over arithmetic intensity",
    ]
    assert "an abacus" in text and str(file) in text
    with pytest.raises(UserError, match="is there already"):
        plot.main([str(file), "--out", str(out)])
    assert out.read_text() == text


@pytest.mark.parametrize(
    ("content", "said"), [('{"schema": 0}', "holds no results of schema 1"), (json.dumps(row(16, a=1.0)), "be drawn")]
)
def test_a_mistake_is_told_and_writes_nothing(tmp_path: Path, content, said):
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(UserError, match=said):
        plot.main([str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "charts.html")])
    assert not (tmp_path / "charts.html").exists()
