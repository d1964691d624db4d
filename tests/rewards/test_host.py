"""A reward on the host makes the batches that the same reward makes in the program; what goes wrong is one sentence."""
# SPDX-License-Identifier: Apache-2.0

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.data import Between, Shaped, Traced
from jaxgen.errors import UserError
from jaxgen.metrics.captioning import cider
from jaxgen.metrics.translation import sentence_bleu
from jaxgen.rewards.host import Cider, JpegSize, OnHost, SentenceBleu
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.score_function import Baseline, ScoreFunction
from tests.rewards.translators import PLAIN, PROMPTS, Agreement, AgreementOfTexts, translator

KEY, ROWS = jax.random.key(0), jnp.arange(16, dtype=jnp.int32)


def close(a, b, rows=slice(None)):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(np.asarray(one)[rows], other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("passes", "baseline"), [pytest.param(1, "others", marks=pytest.mark.slow), (2, "others"), (2, "greedy")]
)
def test_it_makes_the_batches_of_the_same_reward_in_the_program(passes, baseline):
    (task, variables), (_, start) = translator(), translator(8)
    how = {"kl_coef": 0.3, "group": 4, "passes": passes, "baseline": Baseline(baseline)}
    traced, host = (
        ScoreFunction(reward, **how).source(task, 16, PROMPTS, PLAIN)
        for reward in (Agreement(), OnHost(AgreementOfTexts()))
    )
    assert isinstance(traced, Traced) and isinstance(host, Between) and isinstance(host, Shaped)
    states, draw = [source.init(KEY, start.params) for source in (traced, host)], jax.jit(traced.next)
    for number in range(3):
        batch, states[0] = draw(states[0], variables, jnp.int32(number), ROWS)
        made, states[1] = host.make(states[1], variables, number, ROWS)
        close(batch, made)
        close(*(state.get("rollout", {}) for state in states))
    shapes = host.shapes(states[1], variables)
    assert jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), made
    )


def test_the_parts_that_processes_make_are_the_whole_batch():
    task, variables = translator()
    source = ScoreFunction(OnHost(AgreementOfTexts()), group=4).source(task, 16, PROMPTS, PLAIN)
    state = source.init(KEY, variables.params)
    whole, _ = source.make(state, variables, 3, ROWS)
    for rows in (ROWS[:8], ROWS[8:]):
        close(whole, source.make(state, variables, 3, rows)[0], rows)
    with pytest.raises(UserError, match=r"rewards\.group=4 does not divide"):
        source.make(state, variables, 3, ROWS[:6])


def hanging(given, made, reference):
    time.sleep(60)


def raising(given, made, reference):
    raise KeyError("no such word")


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (raising, r"the reward raising \(.*\) raised KeyError: 'no such word' \(test_host.py, line \d+\) after step 4"),
        (hanging, r"the reward hanging \(.*\) had not answered after 0.2 seconds"),
        (lambda given, made, reference: [0.5, float("nan")], r"gave nan after step 4, for 'b'"),
        (lambda given, made, reference: [0.5], r"gave \[0.5\] after step 4; it must give 2 numbers"),
        (lambda given, made, reference: None, r"gave None after step 4; it must give 2 numbers"),
        (lambda given, made, reference: ["good", "bad"], r"it must give 2 numbers"),
    ],
    ids=["raises", "hangs", "nan", "count", "nothing", "words"],
)
def test_what_goes_wrong_is_one_sentence(function, sentence):
    with pytest.raises(UserError, match=sentence) as told:
        OnHost(function, seconds=0.2).rewards([None, None], ["a", "b"], [None, None], 4)
    assert "\n" not in str(told.value)


def test_a_host_reward_has_no_gradient_and_its_limit_is_a_time():
    with pytest.raises(UserError, match="no gradient"):
        Pathwise(OnHost(SentenceBleu())).check(Drawn(), 16)
    with pytest.raises(UserError, match=r"rewards.reward.seconds is 0"):
        OnHost(SentenceBleu(), seconds=0)


class Drawn:
    def draw(self, variables, request, key): ...


def test_the_bleu_of_a_sentence_is_one_for_its_reference_and_falls_with_each_other_word():
    reference = "a cat sat on the mat"
    made = [reference, "a cat sat on the rug", "a dog sat on the rug", "nothing of it", ""]
    scores = SentenceBleu()([""] * 5, made, [reference] * 5)
    assert scores[0] == pytest.approx(1.0) and list(scores) == sorted(scores, reverse=True) and scores[-1] == 0
    # closed form of the second: precisions 5/6, 4/5, 3/4, 2/3 and no brevity penalty
    assert sentence_bleu(made[1:2], [reference])[0] == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_ciders_words_are_as_rare_as_in_all_references_of_the_prompts():
    """Not as in those of a batch: whoever tunes toward it and `metrics.captioning.cider` must mean the same words."""
    references = ["a red cat runs home", "one blue dog sat there", "two red men walk home"]
    reward = Cider().of_references(references)
    made = ["a red dog runs home", "one blue dog sat there", "two men"]
    whole = cider(made, [[one] for one in references])
    assert reward([None] * 3, made, references) == pytest.approx(whole)
    assert reward([None], made[:1], references[:1]) == pytest.approx(whole[:1])  # alone it is worth the same
    assert cider(made[:1], [references[:1]]) == [0]

    task, variables = translator()
    source = ScoreFunction(OnHost(Cider()), group=4).source(task, 16, PROMPTS, PLAIN)
    batch, _ = source.make(source.init(KEY, variables.params), variables, 0, ROWS)
    texts, all_of_them = PLAIN(jax.device_get(batch["example"])), PLAIN({"given": {}, "made": dict(PROMPTS.made)})[1]
    given = PLAIN({"given": dict(PROMPTS.given), "made": dict(PROMPTS.made)})
    own = [given[1][given[0].index(source)] for source in texts[0]]
    expected = Cider().of_references(all_of_them)(texts[0], texts[1], own)
    np.testing.assert_allclose(batch["reward"], expected, rtol=1e-5)
    with pytest.raises(UserError, match="Cider compares with references, and these data give no prompts"):
        ScoreFunction(OnHost(Cider()), group=4).source(task, 16, None, PLAIN)._function  # noqa: B018


def test_a_jpeg_is_small_for_a_plain_picture_and_the_sign_turns_the_reward():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    plain = np.full_like(noise, 90)
    made = [plain, noise, plain[..., :1]]
    small, large = (OnHost(JpegSize(sign)).rewards([None] * 3, made, [None] * 3, 1) for sign in (-1.0, 1.0))
    assert np.array_equal(small, -large) and large[0] < large[1] / 2
    assert large.min() > 0.1 and large.max() < 6  # kilobytes: a header alone is some 600 bytes of them
    with pytest.raises(UserError, match="these data make none"):
        OnHost(JpegSize()).rewards([None], ["a text"], [None], 1)
