"""The reliability diagram: a dot for each bin at its place, and nothing that the file holds is trusted."""
# SPDX-License-Identifier: Apache-2.0

from xml.etree import ElementTree

from jaxgen.reporting.reliability import reliability_figure


def test_a_bin_is_a_dot_at_its_probability_and_share():
    bins = [{"probability": 0.0, "real": 0.0, "count": 9}, {"probability": 1.0, "real": 0.5, "count": 9}]
    figure = ElementTree.fromstring(reliability_figure({"bins": bins, "split": "test"}, "words"))
    low, high = figure.iter("circle")
    line = next(figure.iter("path")).attrib["d"]  # the diagonal, from (0, 0) to (1, 1)
    start, end = (tuple(map(float, point.split())) for point in line[1:].split("L"))
    assert (float(low.attrib["cx"]), float(low.attrib["cy"])) == start
    assert float(high.attrib["cx"]) == end[0] and float(high.attrib["cy"]) == (start[1] + end[1]) / 2


def test_a_damaged_file_draws_no_dots_and_no_markup():
    assert reliability_figure({}, "") == reliability_figure({"bins": 3}, "") == ""
    hostile = {"bins": [3, {}, {"probability": "<b>", "real": None}], "split": "<script>"}
    figure = reliability_figure(hostile, "<i>")
    ElementTree.fromstring(figure)
    assert "circle" not in figure and "<script>" not in figure and "<i>" not in figure
