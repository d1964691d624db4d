"""Error rates of words and characters against edits counted by hand."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.metrics.recognition import recognition_measures
from jaxgen.metrics.unmeasured import Unmeasured


def test_edits_of_all_texts_stand_over_all_words():
    # words: one substituted and one left out of three; nothing of one; characters: "c" -> "b" and " d" left out of 5
    figures = recognition_measures(["a b", "x"], ["a c d", "x"])
    assert figures == {"wer": pytest.approx(2 / 4), "cer": pytest.approx(3 / 6)}


def test_more_is_inserted_than_was_said():
    figures = recognition_measures(["one two three four"], ["one"])
    assert figures == {"wer": 3, "cer": pytest.approx(len(" two three four") / 3)}


def test_where_nothing_was_said_words_are_insertions_and_silence_is_right():
    assert recognition_measures(["", "yes", "a b"], ["", "yes", ""]) == {"wer": 2, "cer": 1}


def test_texts_count_as_they_are_but_for_the_space_around_them():
    assert recognition_measures([" Yes."], ["yes "]) == {"wer": 1, "cer": pytest.approx(2 / 3)}
    assert recognition_measures(["\nyes "], ["yes"]) == {"wer": 0, "cer": 0}


def test_nothing_to_measure_is_told():
    for references in ([], ["", " "]):
        assert all(isinstance(one, Unmeasured) for one in recognition_measures(references, references).values())
