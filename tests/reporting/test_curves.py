"""Curves: always well-formed XML, ticks round and evenly spaced, no spike lost to thinning, no gap drawn over."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxgen.reporting.curves import (
    BUCKETS,
    HEIGHT,
    WIDTH,
    Curve,
    curves_svg,
    log_labels,
    log_ticks,
    thinned,
    tick_labels,
    ticks,
)

CALM = settings(deadline=None)  # the machine may be busy
ANY = st.floats(allow_nan=True, allow_infinity=True)
CURVES = st.lists(
    st.builds(Curve, st.text(max_size=50), st.lists(st.tuples(st.integers(0, 10**9), ANY), max_size=20), st.booleans()),
    max_size=8,
)


@CALM
@given(curves=CURVES, title=st.text(max_size=20))
def test_any_curves_make_well_formed_xml_without_a_nan_in_it(curves, title):
    svg = curves_svg(curves, title)
    root = ElementTree.fromstring(svg)
    for path in root.iter("path"):
        numbers = [float(word) for word in re.findall(r"-?[\d.]+|nan|inf", path.get("d"))]
        assert all(math.isfinite(number) for number in numbers)
    for circle in root.iter("circle"):
        assert float(circle.get("cx")) >= 0 and math.isfinite(float(circle.get("cy")))


@CALM
@given(curve=st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), min_size=1, max_size=30))
def test_all_points_lie_inside_the_plot(curve):
    root = ElementTree.fromstring(curves_svg([Curve("loss", curve, dots=True)], "loss"))
    height = float(root.get("viewBox").split()[3])
    assert height > HEIGHT
    for circle in root.iter("circle"):
        assert 0 < float(circle.get("cx")) < WIDTH and 0 < float(circle.get("cy")) < height


@CALM
@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-3, 1e9))
def test_ticks_are_round_even_inside_and_told_apart(low, span):
    high = low + span
    assume(span > 2e-6 * max(abs(low), abs(high)))
    values = ticks(low, high)
    assert 2 <= len(values) <= 9
    step = values[1] - values[0]
    slack = 1e-6 * span
    assert all(low - slack <= value <= high + slack for value in values)
    assert all(after - before == pytest.approx(step, rel=1e-3) for before, after in pairwise(values))
    leading = step / 10.0 ** math.floor(math.log10(step) + 1e-6)
    assert min(abs(leading - factor) for factor in (1, 2, 5, 10)) < 1e-2
    assert len(set(tick_labels(values))) == len(values)


def test_tick_labels_read_as_a_person_writes_them():
    assert tick_labels([0, 1000, 2000]) == ["0", "1000", "2000"]
    assert tick_labels([0, 20000, 40000]) == ["0", "20k", "40k"]
    assert tick_labels([0.0, 0.05, 0.1]) == ["0", "0.05", "0.10"]
    assert tick_labels([-1.0, 0.0, 1.0]) == ["-1", "0", "1"]
    assert tick_labels([15500.0, 16000.0]) == ["15.5k", "16.0k"]


@CALM
@given(low=st.floats(1e-9, 1e12), ratio=st.floats(1.01, 1e12))
def test_logarithmic_ticks_are_few_inside_and_told_apart(low, ratio):
    values = log_ticks(low, low * ratio)
    assert 2 <= len(values) <= 15 and values == sorted(values)
    assert all(low * (1 - 1e-6) <= value <= low * ratio * (1 + 1e-6) for value in values)
    assert len(set(log_labels(values))) == len(values)


def test_equal_ratios_are_equally_far_apart_on_logarithmic_axes():
    curve = Curve("peak", [(1, 10.0), (10, 100.0), (100, 1000.0), (10_000, 1e5)], dots=True)
    root = ElementTree.fromstring(curves_svg([curve], "peak", logarithmic=True))
    dots = [dot for dot in root.iter("circle") if dot.find("title") is not None]  # and none of the legend
    a, b, c, d = ((float(dot.get("cx")), float(dot.get("cy"))) for dot in dots)
    for axis in (0, 1):
        assert b[axis] - a[axis] == pytest.approx(c[axis] - b[axis], abs=0.2)
        assert d[axis] - c[axis] == pytest.approx(2 * (b[axis] - a[axis]), abs=0.3)


def test_thinning_keeps_a_lone_spike_and_the_lowest_point():
    points = [(step, math.sin(step / 1000)) for step in range(100_000)]
    points[54_321], points[77_777] = (54_321, 9.0), (77_777, -9.0)
    kept = thinned(points)
    assert len(kept) <= 2 * BUCKETS and (54_321, 9.0) in kept and (77_777, -9.0) in kept
    assert kept == sorted(kept)


def test_few_points_are_kept_as_they_are_with_gaps_where_not_finite():
    points = [(0, 3.0), (1, math.nan), (2, 2.0), (3, math.inf), (4, 1.0)]
    assert thinned(points) == [(0, 3.0), None, (2, 2.0), None, (4, 1.0)]
    svg = curves_svg([Curve("train", points)], "loss")
    assert "2 values not finite" in svg
    drawn = [path.get("d") for path in ElementTree.fromstring(svg).iter("path")][-1]
    assert drawn.count("M") == 3 and "L" not in drawn


def test_an_empty_chart_says_so():
    assert "no values yet" in curves_svg([], "loss")
    assert "no values yet" in curves_svg([Curve("train", [(1, math.nan)])], "loss")
