"""Truths of an ablation's effect plot: every name stands inside it, and dots stand where their differences are."""
# SPDX-License-Identifier: Apache-2.0

import re

import pytest

from jaxgen.reporting.ablation_page import Bar, Plot, effects_svg

WIDEST = 6.2  # units of a letter, on average, in a browser's sans-serif of this size


@pytest.mark.parametrize("name", ["a over b", "query_key_norm with over without", "a" * 120])
def test_a_name_of_any_length_is_shown_whole(name):
    svg = effects_svg(Plot("loss", [Bar(name, 0.5, 0.25, 0.75)]))
    end = float(re.search(r'<text x="([\d.]+)"[^>]* text-anchor="end"', svg)[1])
    assert end >= WIDEST * len(name)
    places = [float(x) for x in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', svg)]
    assert end < min(places) and max(places) < float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])


def test_equal_differences_are_equally_far_apart():
    svg = effects_svg(Plot("loss", [Bar(f"bar {number}", number / 4, number / 4, number / 4) for number in (-1, 0, 1)]))
    first, zero, last = (float(x) for x in re.findall(r'cx="([\d.]+)"', svg))
    axis = float(re.search(r'class="axis" x1="([\d.]+)"', svg)[1])
    assert zero == axis and last - zero == pytest.approx(zero - first, abs=0.2)
