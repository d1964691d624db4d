"""What is given as a network sees it: a row of a table, hidden or absent alike; what is missing is drawn or refused."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxgen.errors import UserError
from jaxgen.nn.conditions import (
    Conditioned,
    Conditions,
    check_any_kind,
    check_conditions,
    condition_of,
    hidden_rows,
    with_drawn,
)
from jaxgen.types import Clip, Image, Label, Modality, Spec
from tests.given import asked, labels_of, pictures, seen

KEY = jax.random.key(4)
ONE = pictures((2, 2, 1), levels=3, classes=4)
TWO = Spec(Image(2, 2, 1, 3), (("class", Label(4)), ("style", Label(3))))
LABEL, STYLE, ROW = jnp.array([0, 3, 1, 3, 2]), jnp.array([2, 0, 0, 1, 2]), jnp.arange(5)
BOTH = {"row": ROW, "given": {"class": {"value": LABEL}, "style": {"value": STYLE}}}
MIDDLE = jnp.array([False, True, False, True, False])


def through(condition, kernel):
    return Conditioned(kernel.shape[1]).apply({"params": {"kernel": kernel}}, condition)


def test_a_class_is_a_row_of_a_table_in_value_and_gradient():
    condition = condition_of(ONE, asked(LABEL))
    assert Conditioned(7).init(KEY, condition)["params"]["kernel"].shape == (4 + 1, 7)
    table, weights = jax.random.normal(KEY, (5, 7)), jax.random.normal(jax.random.key(5), (5, 7))
    np.testing.assert_array_equal(through(condition, table), table[LABEL])
    found, expected = (
        jax.grad(lambda table, rows=rows: (rows(table) * weights).sum())(table)
        for rows in (lambda table: through(condition, table), lambda table: table[LABEL])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_hidden_row_sees_what_is_seen_where_nothing_is_given():
    condition, hidden = condition_of(ONE, asked(LABEL)).vector, condition_of(ONE, asked(LABEL), MIDDLE).vector
    for nothing in ({"row": ROW}, {"row": ROW, "given": {}}):
        absent = condition_of(ONE, nothing).vector
        np.testing.assert_array_equal(absent, seen(jnp.full(5, 4), 4).vector)  # the table's last row
        np.testing.assert_array_equal(hidden, jnp.where(MIDDLE[:, None], absent, condition))
    assert condition_of(pictures((2, 2, 1), levels=3), {"row": ROW}) is None


def test_rows_are_hidden_in_the_share_asked_for_each_on_its_own():
    rows = jnp.arange(5000)
    hidden = hidden_rows(0.2, KEY, rows)
    assert abs(float(hidden.mean()) - 0.2) < 4 * np.sqrt(0.16 / 5000)
    np.testing.assert_array_equal(hidden_rows(0.2, KEY, rows[7:20]), hidden[7:20])
    assert hidden_rows(0.0, KEY, rows) is None


def test_several_given_parts_stand_side_by_side_and_each_can_be_absent():
    vector = condition_of(TWO, BOTH).vector
    expected = jnp.concatenate([seen(LABEL, 4).vector, seen(STYLE, 3).vector], axis=1)
    np.testing.assert_array_equal(vector, expected)
    tables = jax.random.normal(KEY, (5, 6)), jax.random.normal(jax.random.key(5), (4, 6))
    sums = through(condition_of(TWO, BOTH), jnp.concatenate(tables))
    np.testing.assert_allclose(sums, tables[0][LABEL] + tables[1][STYLE], rtol=1e-5, atol=1e-6)
    styled = condition_of(TWO, {"row": ROW, "given": {"style": {"value": STYLE}}}).vector
    np.testing.assert_array_equal(styled[:, 5:], vector[:, 5:])
    np.testing.assert_array_equal(styled[:, :5], seen(jnp.full(5, 4), 4).vector)
    hidden = condition_of(TWO, BOTH, jnp.ones(5, bool)).vector
    np.testing.assert_array_equal(hidden, condition_of(TWO, {"row": ROW}).vector)


@dataclass(frozen=True)
class Speed(Modality):
    """`value` [B, 2] float32: a modality of a user's own."""

    shape = (2,)

    def arrays(self):
        return {"value": ((2,), jnp.float32)}

    def condition(self, arrays):
        return 3 * arrays["value"]


def test_a_modality_of_a_users_own_brings_its_features_and_is_hidden_alike():
    spec, value = Spec(ONE.made, (("speed", Speed()),)), jax.random.normal(KEY, (5, 2))
    assert isinstance(Speed(), Conditions)
    vector = condition_of(spec, {"row": ROW, "given": {"speed": {"value": value}}}, MIDDLE).vector
    np.testing.assert_array_equal(vector[:, :2], jnp.where(MIDDLE[:, None], 0, 3 * value))
    np.testing.assert_array_equal(vector[:, 2], MIDDLE)
    np.testing.assert_array_equal(condition_of(spec, {"row": ROW}).vector, jnp.tile(jnp.array([0.0, 0.0, 1.0]), (5, 1)))


def test_classes_that_are_not_given_are_drawn_evenly_each_row_on_its_own():
    rows = jnp.arange(4000)
    request = with_drawn(TWO, {"row": rows, "knobs": {"temperature": 0.5}}, KEY)
    label, style = labels_of(request), request["given"]["style"]["value"]
    pairs = np.bincount(np.asarray(3 * label + style), minlength=12)  # the two know nothing of each other
    assert ((pairs - 4000 / 12) ** 2 / (4000 / 12)).sum() < chi2.isf(1e-4, 11)
    part = with_drawn(TWO, {"row": rows[7:9]}, KEY)
    np.testing.assert_array_equal(labels_of(part), label[7:9])
    assert request["knobs"] == {"temperature": 0.5}
    given = with_drawn(TWO, asked(LABEL), KEY)
    np.testing.assert_array_equal(labels_of(given), LABEL)
    np.testing.assert_array_equal(given["given"]["style"]["value"], style[:5])  # as it is drawn beside no label
    with pytest.raises(UserError, match="makes nothing without speed; give one"):
        with_drawn(Spec(ONE.made, (("speed", Speed()),)), {"row": ROW}, KEY)


def test_any_kind_is_refused_where_it_was_never_trained():
    for spec, names in ((ONE, "class"), (TWO, "class and style")):
        with pytest.raises(UserError, match=f"samples without {names}, which .* task.condition_dropout above 0"):
            check_any_kind(spec, 0.0)
        check_any_kind(spec, 0.1)
    check_any_kind(pictures((2, 2, 1), levels=3), 0.0)


def test_what_no_network_can_see_is_refused():
    clip = Spec(ONE.made, (("class", Label(4)), ("before", Clip(2, 4, 4, 1, 3))))
    with pytest.raises(UserError, match="a Painter cannot be conditioned on before, which is Clip data; choose data"):
        check_conditions(clip, "Painter")
    check_conditions(TWO, "Painter")
    check_conditions(Spec(ONE.made, (("speed", Speed()),)), "Painter")
