"""Another run as a part: copied once and checked ever after, the same on any devices, in no checkpoint."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from jaxgen.commands.describe import description
from jaxgen.config.changes import set_fields
from jaxgen.config.document import from_document, to_document
from jaxgen.core.masks import by_path
from jaxgen.core.part import Run, runs_in, with_parts
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.rewards.functions import ClassProbability
from jaxgen.rewards.judge import Judge
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.running.assembly import assemble
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.other_runs import DIGESTS, PARTS, resolved
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.folder import EXPERIMENT
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler, Parallel
from tests.commands.test_resume import end_of
from tests.one_step import one_step
from tests.rewards import judged
from tests.running.test_rollback import stop_after
from tests.worlds import Duel


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A small GAN that has ended."""
    folder = tmp_path_factory.mktemp("other") / "gan"
    assert train_run(judged.critic(), folder, lambda: False) == 2
    return folder


@pytest.fixture(scope="module")
def whole(other, tmp_path_factory):
    """A run toward what that GAN says, trained in one go; and its experiment, whose part is a copy to be spoilt."""
    folder = tmp_path_factory.mktemp("judged")
    lent = shutil.copytree(other, folder / "lent")
    experiment = judged.toward_a_critic(lent)
    assert train_run(experiment, folder / "whole", lambda: False) == 4
    return experiment, folder / "whole"


@pytest.mark.parametrize("spoilt", ["removed", "trained on"])
def test_stopped_and_resumed_without_the_other_run_it_ends_the_same(spoilt, other, whole, tmp_path):
    lent = shutil.copytree(other, tmp_path / "lent")
    experiment = judged.toward_a_critic(lent)
    assert train_run(experiment, tmp_path / "stopped", stop_after(0)) == 1
    if spoilt == "removed":
        shutil.rmtree(lent)
    else:
        assert train_run(judged.critic(4), lent, lambda: False) == 4
    assert train_run(experiment, tmp_path / "stopped", lambda: False) == 4
    assert end_of(tmp_path / "stopped") == end_of(whole[1])


def test_it_is_read_and_evaluated_without_the_other_run(whole):
    experiment, folder = whole
    path = experiment.rewards.reward.model.path
    shutil.move(path, f"{path}.moved")
    try:
        assert 0 < evaluate_run(folder)["reward"] < 1
    finally:
        shutil.move(f"{path}.moved", path)


def test_no_checkpoint_holds_the_part_and_its_copy_is_what_the_other_run_shows(other, whole):
    _, folder = whole
    shown = load_trained(other, None, judged.silent).variables
    copied = load_trained(folder, None, judged.silent).variables.parts["model"]
    assert jax.tree.structure(copied.params) == jax.tree.structure(shown.params)
    for path, leaf in by_path((shown.params, shown.extra.shared)).items():
        np.testing.assert_array_equal(by_path((copied.params, copied.extra.shared))[path], leaf, err_msg=path)
    held = Checkpoints(folder, keep=None).restore_saved(judged.silent)[0]
    kernels = [leaf for leaf in jax.tree.leaves(shown.params) if leaf.ndim == 2]
    assert kernels and set(held) == {field.name for field in dataclasses.fields(type(load_state(folder)))}
    for leaf in jax.tree.leaves(held):
        assert not any(np.shape(leaf) == one.shape and np.array_equal(leaf, one) for one in kernels)


def load_state(folder):
    assembly = assemble(from_document(json.loads((folder / EXPERIMENT).read_text())), workdir=folder)
    return jax.eval_shape(assembly.init, assembly.key)


SPREADS = {
    "jit": Parallel(data=1),
    "jit on two": Parallel(data=2),
    "fsdp": Parallel(data=1, fsdp=2),
    "pmap": Parallel(Compiler.PMAP, data=2),
}


def test_one_device_two_and_pmap_agree_and_leave_the_part_as_it_was(whole):
    experiment, folder = whole
    ends = {name: one_step(experiment, folder, parallel, "reward") for name, parallel in SPREADS.items()}
    for end in ends.values():
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), end, ends["jit"])


def test_under_pmap_it_trains_is_evaluated_and_sampled_as_on_one_device(whole, tmp_path):
    experiment, folder = whole
    spread = dataclasses.replace(experiment, parallel=SPREADS["pmap"], steps=1)
    assert train_run(spread, tmp_path / "run", lambda: False) == 1
    ends = [json.loads((run / "metrics.jsonl").read_text().splitlines()[0]) for run in (tmp_path / "run", folder)]
    for end in ends:
        assert end.pop("split") == "train"
    assert ends[0] == pytest.approx(ends[1], rel=2e-5) and (tmp_path / "run" / "samples" / "1.png").exists()


def changed(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def without_checkpoint(folder):
    shutil.rmtree(folder / "checkpoints")


def without_experiment(folder):
    (folder / EXPERIMENT).unlink()


def of_other_levels(folder):
    text = (folder / "data.json").read_text()
    assert '"levels": 17' in text
    (folder / "data.json").write_text(text.replace('"levels": 17', '"levels": 9'))


def of_other_classes(folder):
    changed(folder / "data.json", lambda held: held | {"class_names": {"class": list("abcdefghij")}})


def of_the_users_own(folder):
    own = {"user": "mine.py:Gan", "sha256": "", "fields": {}}
    changed(folder / EXPERIMENT, lambda held: held | {"fields": held["fields"] | {"task": own}})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without_experiment, r"rewards\.reward\.model\.path=\S+/lent is no run: it has no experiment.json"),
        (without_checkpoint, r"rewards\.reward\.model\.path=\S+/lent has no whole checkpoint yet; train it first"),
        (of_other_levels, r"lent does not fit these data: made is .* levels=9\) there and .* levels=17\) here"),
        (of_other_classes, r"lent was trained with other classes of class; give both the same data"),
        (of_the_users_own, r"lent cannot be a part, for its task or its data cannot be read without executing code"),
    ],
)
def test_another_run_that_cannot_be_a_part(spoil, sentence, other, tmp_path):
    lent = shutil.copytree(other, tmp_path / "lent")
    spoil(lent)
    with pytest.raises(UserError, match=sentence) as told:
        train_run(judged.toward_a_critic(lent), tmp_path / "run", lambda: False)
    assert "\n" not in str(told.value) and not (tmp_path / "run" / PARTS / "model").exists()


def test_a_run_is_no_part_of_itself(other):
    with pytest.raises(UserError, match=r"is the very run that is trained here"):
        resolved(judged.toward_a_critic(other), other)
    with pytest.raises(UserError, match="the path of a Run is empty"):
        Run("")


def of_other_weights(parts):
    """A whole checkpoint of a network of the same shapes, the run's own."""
    shutil.rmtree(parts / "model" / "checkpoints")
    shutil.copytree(parts.parent / "checkpoints", parts / "model" / "checkpoints")


def of_another_document(parts):
    changed(parts / "model" / "data.json", lambda held: held | {"name": "others"})


def damaged(parts):
    for file in (parts / "model" / "checkpoints").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(bytes(len(file.read_bytes())))


@pytest.mark.parametrize("spoil", [of_other_weights, of_another_document, damaged])
def test_a_copy_that_is_not_what_the_run_was_begun_with_is_refused(spoil, whole, tmp_path):
    experiment, folder = whole
    run = shutil.copytree(folder, tmp_path / "run")
    spoil(run / PARTS)
    longer = dataclasses.replace(experiment, steps=6)
    for work in (lambda: train_run(longer, run, lambda: False), lambda: load_trained(run, None, judged.silent)):
        with pytest.raises(UserError, match=r"parts/model is not the part .* restore it from a copy") as told:
            work()
        assert "\n" not in str(told.value)


def test_a_run_that_has_begun_and_keeps_no_part_is_refused(whole, tmp_path):
    run = shutil.copytree(whole[1], tmp_path / "run")
    (run / DIGESTS).unlink()
    with pytest.raises(UserError, match=r"digests.json is missing or damaged; restore \S+/parts from a copy"):
        load_trained(run, None, judged.silent)


def test_what_is_described_is_not_read(other, tmp_path):
    """The weights are gone; that there is a checkpoint is all that is looked at."""
    lent = shutil.copytree(other, tmp_path / "lent")
    for file in (lent / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    lines = list(description(assemble(judged.toward_a_critic(lent))))
    assert any(line.startswith("part model") and "parameters of another run" in line for line in lines)


def test_runs_are_found_wherever_they_stand_and_named_by_their_fields():
    @dataclasses.dataclass(frozen=True)
    class Several:
        model: Run
        others: tuple

    task = Several(Run("a"), (Run("b"), {"teacher": Run("c")}))
    found = runs_in(task)
    assert found == {"model": Run("a"), "others.0": Run("b"), "others.1.teacher": Run("c")}
    replaced = with_parts(task, {path: path for path in found})
    assert replaced == Several("model", ("others.0", {"teacher": "others.1.teacher"}))
    plain = Experiment(Duel(), Pictures(), {"left": AdamW(), "right": AdamW()}, 1)
    assert with_parts(plain, {}) is plain and resolved(plain, None) == (plain, ())


def test_an_experiment_with_a_run_in_it_is_written_and_read_back():
    experiment = judged.toward_a_critic("runs/gan")
    assert from_document(to_document(experiment)) == experiment
    assert experiment.rewards.reward == Judge(Run("runs/gan"))
    seven = dataclasses.replace(experiment, rewards=Pathwise(ClassProbability(7)))
    words = ["rewards.reward=Judge", "rewards.reward.model=Run", "rewards.reward.model.path=runs/gan"]
    assert set_fields(seven, words).rewards.reward == experiment.rewards.reward
