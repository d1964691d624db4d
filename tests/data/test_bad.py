"""Bad examples pass up to the number that is tolerated, each counted once; the next is refused by its place."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.data.bad import BadExamples
from jaxgen.errors import UserError


def test_so_many_pass_however_often_they_are_met_and_the_next_is_refused():
    bad = BadExamples(2)
    for place in ("a.txt line 1", "b.txt line 9", "a.txt line 1"):
        bad.refuse(place, "it is empty")
    assert bad.count == 2 and bad.told().startswith("skipped 2 bad examples (a.txt line 1: it is empty; b.txt line 9")
    with pytest.raises(UserError, match=r"c.txt line 3: it is torn; mend it, or set data.skip_bad"):
        bad.refuse("c.txt line 3", "it is torn")


def test_by_default_none_passes_and_a_negative_number_makes_no_sense():
    assert BadExamples().told() == ""
    with pytest.raises(UserError, match="a: b"):
        BadExamples().refuse("a", "b")
    with pytest.raises(UserError, match=r"data\.skip_bad is -1"):
        BadExamples(-1)
