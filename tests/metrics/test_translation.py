"""BLEU and chrF of known sentences, and the nearest translation by edit distance."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.metrics.translation import Incomparable, edit_distances, nearest_translations, translation_measures
from jaxgen.metrics.unmeasured import Unmeasured


def test_a_perfect_translation_has_all_of_every_measure():
    lines = ["Two men are at the stove preparing food.", "A little girl climbing into a wooden playhouse."]
    figures = translation_measures(lines, lines)
    assert figures["bleu"] == pytest.approx(100) and figures["chrf"] == pytest.approx(100)
    assert figures["exact_match"] == 1
    assert "tok:13a" in figures["bleu_signature"] and "nc:6" in figures["chrf_signature"]


def test_bleu_is_the_geometric_mean_of_its_precisions_times_the_brevity_penalty():
    """Papineni et al. 2002: 1-grams 5/6, 2-grams 3/5, 3-grams 2/4, 4-grams 1/3; as long as the reference."""
    figures = translation_measures(["the cat sat on a mat"], ["the cat sat on the mat"])
    precisions = [5 / 6, 3 / 5, 2 / 4, 1 / 3]
    assert figures["bleu"] == pytest.approx(100 * np.exp(np.mean(np.log(precisions))), rel=1e-6)
    assert figures["exact_match"] == 0


def distance(one: str, other: str) -> int:
    """Wagner and Fischer 1974, by recursion over prefixes."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    return table[len(one), len(other)]


@settings(deadline=None)
@given(text=st.text("abc", max_size=7), others=st.lists(st.text("abc", max_size=7), min_size=1, max_size=5))
def test_edit_distances_are_those_of_the_recursion(text, others):
    codes = np.zeros((len(others), max(map(len, others))), np.int32)
    for row, other in enumerate(others):
        codes[row, : len(other)] = [ord(character) for character in other]
    found = edit_distances(text, codes, np.array([len(other) for other in others]))
    assert found.tolist() == [distance(text, other) for other in others]


def test_the_nearest_source_lends_its_translation():
    sources, translations = ["laufende frau", "laufender mann", "rose"], ["woman running", "man running", "rose"]
    assert nearest_translations(sources, translations, ["laufender mann dunkel", "rosen"]) == ["man running", "rose"]
    with pytest.raises(Incomparable, match="4,000 training and 1,000 held-out sentences are more than 3,000,000"):
        nearest_translations(["x"] * 4000, ["y"] * 4000, ["x"] * 1000)
    with pytest.raises(Incomparable, match="no training sentence"):
        nearest_translations([], [], ["x"])


def test_no_sentences_have_no_figures():
    figures = translation_measures([], [])
    assert set(figures) == {"bleu", "chrf", "exact_match"}
    assert all(figure == Unmeasured("there is no held-out sentence") for figure in figures.values())
