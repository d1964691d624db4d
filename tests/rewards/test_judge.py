"""A reward that another run gives is what that run itself says of the same samples."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np
import pytest

from jaxgen.core.part import Part
from jaxgen.errors import UserError
from jaxgen.rewards.judge import Judge
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from tests.given import pictures
from tests.rewards import judged

SPEC = pictures((8, 8, 1), levels=17, classes=10)


def part(task, spec=SPEC) -> Part:
    return Part("model", "rewards.reward.model.path=runs/a", task.sized(spec), spec)


@pytest.mark.parametrize(
    ("of", "toward"),
    [(judged.critic, judged.toward_a_critic), (judged.likelihood, judged.toward_a_likelihood)],
    ids=["critic", "likelihood"],
)
def test_the_reward_is_what_the_other_run_says_of_the_same_samples(of, toward, tmp_path):
    assert train_run(of(), tmp_path / "other", lambda: False) == 2
    experiment = toward(tmp_path / "other")
    train_run(experiment, tmp_path / "run", lambda: False)
    batch, other = judged.rewarded(tmp_path / "run"), load_trained(tmp_path / "other", None, judged.silent)
    task, example = other.assembly.task, {**batch["example"], "row": batch["row"]}
    if of is judged.critic:
        expected = jax.jit(task.probability)(other.variables, example)
        assert (expected > 0).all() and (expected < 1).all()
    else:
        expected = jax.jit(task.log_prob)(other.variables, example, jax.random.key(5)) / 64  # exact: no key matters
        assert (expected < 0).all()
    assert np.std(expected) > 0
    np.testing.assert_allclose(batch["reward"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (pictures((8, 8, 1), levels=16, classes=10), r"made is Image\(.*levels=17\) there and .*levels=16\) here"),
        (pictures((8, 8, 1), levels=17), r"class is Label\(classes=10\) there and missing here; name a run"),
    ],
    ids=["made", "given"],
)
def test_a_judge_of_other_data_is_refused(spec, sentence):
    with pytest.raises(UserError, match=sentence):
        Judge(part(judged.GAN)).prepare(spec)


def test_a_judge_that_was_trained_on_less_that_is_given_serves():
    assert Judge(part(judged.GAN, pictures((8, 8, 1), levels=17))).prepare(SPEC) == ()


def test_a_judge_that_can_tell_nothing_of_these_samples_is_refused():
    image = jax.ShapeDtypeStruct((4, 8, 8, 1), np.uint8)
    labels = {"class": {"value": jax.ShapeDtypeStruct((4,), np.int32)}}
    without = {"row": jax.ShapeDtypeStruct((4,), np.int32), "given": {}, "made": {"value": image}}
    gan, model = part(judged.GAN), part(judged.LANGUAGE_MODEL)
    with pytest.raises(UserError, match=r"runs/a was trained under class, and these samples are drawn without"):
        jax.eval_shape(Judge(gan), gan.shapes, without)
    assert jax.eval_shape(Judge(model), model.shapes, without).shape == (4,)  # it hid the class in training
    smooth = {**without, "given": labels, "made": {"value": jax.ShapeDtypeStruct(image.shape, np.float32)}}
    assert jax.eval_shape(Judge(gan), gan.shapes, smooth).shape == (4,)
    with pytest.raises(UserError, match="no gradient goes through the likelihood of a LanguageModel"):
        jax.eval_shape(Judge(model), model.shapes, smooth)


def test_a_task_that_can_only_draw_is_no_judge():
    class Drawing:
        def sized(self, spec):
            return self

    with pytest.raises(UserError, match="gives neither a likelihood nor a probability of being real"):
        Judge(part(Drawing())).prepare(SPEC)
