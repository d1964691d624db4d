"""Packed rows hold every document whole: each token but a document's first is a target once, none across a border."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.data.documents import Separated, pack


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 12))
def test_each_token_is_a_target_once_and_of_its_own_document(sizes, length):
    starts = np.cumsum([0, *sizes])
    documents = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=False)]  # all distinct
    rows = pack(documents, length)["made"]
    tokens, mask = rows["value"], rows["mask"]
    given_, told = tokens[:, :-1][mask], tokens[:, 1:][mask]
    assert sorted(told.tolist()) == sorted(token for document in documents for token in document[1:].tolist())
    assert (told == given_ + 1).all()  # the one before it in its own document
    segment = rows["segment"]
    assert segment.shape == (len(segment), length + 1)
    for row in segment:
        numbers = row[row > 0]
        assert (np.diff(numbers) >= 0).all() and set(numbers) == set(range(1, numbers.max(initial=0) + 1))
        assert (row[len(numbers) :] == 0).all()  # padding at the end alone
    half_empty = ((segment > 0).sum(axis=1) * 2 < length + 1).sum()
    assert half_empty <= 1  # the waste is bounded


def test_documents_are_what_stands_between_separators():
    assert Separated().cut("a\nb\n\n \n\nc\n") == ("a\nb", "c")
    assert Separated("<|endoftext|>").cut("a\n\nb\n<|endoftext|>\n<|endoftext|>\nc") == ("a\n\nb", "c")
    assert Separated().cut("\n\n") == ()
