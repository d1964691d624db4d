"""`jaxgen edit` with short trainings on digits: what each edit writes, what its figures mean, and mistakes told."""
# SPDX-License-Identifier: Apache-2.0

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from jaxgen.commands.edit import Asked, edit, edited
from jaxgen.commands.sample import sample
from jaxgen.commands.score import scores_of
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.task import Critic, LatentSpace, Likelihood
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.reporting.run_view import read_run
from jaxgen.running.assembly import assemble
from jaxgen.running.bounded import Sampling
from jaxgen.running.editing import LatentEditor
from jaxgen.running.sample_run import samples_of
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import Trained, load_trained
from tests.commands.command import ROOT
from tests.families.cases import experiment_of
from tests.play.explorers import explorer, kept

SMALL = ["task.encoder.width=96", "task.decoder.width=96", "task.encoder.blocks=1", "task.decoder.blocks=1"]
SMALL += ["task.prior.layers=2", "steps=500", "task.importance_samples=2"]
ONCE = [f"every.{what}=500" for what in ("log", "evaluate", "sample", "checkpoint")]


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """A run whose pictures are made of nothing."""
    folder = tmp_path_factory.mktemp("edit") / "free"
    experiment = load_experiment(ROOT / "configs/vae/digits.py", Experiment)
    settings = [*SMALL, *ONCE, "evaluate.examples=16", "data.given=false"]
    train_run(set_fields(experiment, settings), folder, lambda: False)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Held-out digits as files: the first of each class, and one whose lower half is transparent."""
    folder, (images, target) = tmp_path_factory.mktemp("digits"), load_digits(return_X_y=True)
    held = np.rint(images[1437:].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for digit in range(10):
        own = held[target[1437:] == digit][0]
        Image.fromarray(own).save(folder / f"{digit}.png")
        alpha = np.where(np.arange(8)[:, None] < 4, 255, 0).astype(np.uint8) * np.ones((1, 8), np.uint8)
        Image.fromarray(np.stack([own, alpha], axis=-1), "LA").save(folder / f"half{digit}.png")
    return folder


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGBA"))


def test_each_edit_is_a_table_an_animation_or_a_page_of_both(free, files, tmp_path, capsys):
    three, eight = (str(files / f"{digit}.png") for digit in (3, 8))
    asked = Asked("interpolate", [three, eight], [], frames=5)
    for suffix in ("png", "gif", "html"):
        assert edit(str(free), None, [], None, asked, str(tmp_path / f"out.{suffix}")) == 0
        assert capsys.readouterr().out.split() == [str(tmp_path / f"out.{suffix}")]
    assert pixels(tmp_path / "out.png").shape == (18 + 48, 5 * 51 - 3, 4)  # heads, and five pictures
    with Image.open(tmp_path / "out.gif") as moving:
        assert moving.n_frames == 5
    page = (tmp_path / "out.html").read_text()
    assert page.count("<img") == 2 and "jaxgen edit interpolate" in page and "http://" not in page


def test_without_out_an_edit_is_kept_in_the_run_over_nothing_and_shown_in_its_report(free, capsys):
    for count in (3, 2):
        asked = Asked("temperature", [], [], count=count, values=(0, 1))
        assert edit(str(free), None, [], None, asked, None) == 0
    kept = [free / "edits" / f"temperature-{number}.png" for number in (1, 2)]
    assert capsys.readouterr().out.split() == [str(path) for path in kept]
    assert [pixels(path).shape[:2] for path in kept] == [(18 + rows * 51 - 3, 2 * 51 - 3) for rows in (3, 2)]
    shown = read_run(free).edits
    assert [edit.picture.content for edit in shown] == [path.read_bytes() for path in kept]
    for one, count in zip(shown, (3, 2), strict=True):
        assert one.command.startswith(f"jaxgen edit temperature --workdir {free}")
        assert f"--count {count} " in one.command and "--values 0 1 " in one.command


def test_an_interpolation_begins_and_ends_at_the_reconstructions_and_lower_temperatures_vary_less(free, files):
    editor = LatentEditor(load_trained(free, None, lambda words: None), 0)
    names = [str(files / f"{digit}.png") for digit in (3, 8, 0)]
    found = edited(editor, Asked("interpolate", names, [], frames=4)).pixels
    assert found.shape == (2, 4, 8, 8, 1)
    np.testing.assert_array_equal(found[0, -1], found[1, 0])
    request = editor.presentation.request([], None, names)
    alone = editor.pixels(editor.decode(request, editor.noise(request), np.arange(3)))
    np.testing.assert_array_equal(found[[0, 1, 1], [0, 0, -1]], alone)
    real = editor.pixels(request).astype(float)
    error = ((alone[:, None] - real[None]) ** 2).mean(axis=(2, 3, 4))
    assert (error.argmin(axis=1) == np.arange(3)).all()  # each is nearest to the picture that it reconstructs
    cool = edited(editor, Asked("temperature", [], [], count=30, values=(0, 0.5, 1))).pixels.astype(float)
    assert cool[:, 0].std(axis=0).max() == 0 and cool[:, 1].var(axis=0).mean() < cool[:, 2].var(axis=0).mean()


def test_outputs_of_one_input_differ_less_than_inputs_do_and_keep_the_class(free, tmp_path, capsys):
    """Of 200 held-out pictures, by the frozen net; the limits are far from what so short a training gives."""
    assert edit(str(free), None, [], None, Asked("outputs", [], [], count=4), str(tmp_path / "o.png")) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["inputs"] == 200 and figures["outputs_of_each"] == 4 and figures["edit"] == "outputs"
    assert 0 < figures["variance_within"] < 0.2 * figures["variance_between"]
    assert figures["recognised_as_input"] > 0.6


def test_a_word_of_the_classes_is_an_attribute_that_the_frozen_net_sees(free, tmp_path, capsys):
    """Towards a class from all others: the more, the stronger."""
    seen = []
    for strength in (0.5, 2.0):
        asked = Asked("attribute", [], [], values=(strength,), having=["0"])
        assert edit(str(free), None, [], None, asked, str(tmp_path / "a.png")) == 0
        figures = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert figures["strengths"] == [0, strength] and figures["rest_kept"][0] == 1
        seen.append(figures["recognised_as_attribute"])
        assert figures["attribute_classifier_accuracy"] > 0.95
        assert figures["classified_as_attribute"] == pytest.approx(seen[-1], abs=0.1)  # two classifiers, one class
    assert figures["with"] > 100 and figures["without"] > 800
    assert seen[0][0] == seen[1][0] < 0.2  # a tenth of the digits are zeros
    assert seen[1][1] > seen[0][1] + 0.2 and seen[1][1] > 0.5


def test_erased_pixels_are_filled_in_and_the_others_stay(free, files, tmp_path):
    name = str(files / "half3.png")
    assert sample(str(free), None, [], None, [], 4, str(tmp_path / "c.png"), 0, begun=[name]) == 0
    whole = pixels(files / "3.png")[:4, :, 0]
    found = pixels(tmp_path / "c.png")  # two by two, magnified by 6
    for top, left in ((0, 0), (0, 51), (51, 0), (51, 51)):
        np.testing.assert_array_equal(found[top : top + 24 : 6, left : left + 48 : 6, 0], whole)
    editor = LatentEditor(load_trained(free, None, lambda words: None), 0)
    found = edited(editor, Asked("outputs", [name], [], count=2))
    table = found.pixels
    assert "recognised_as_input" not in found.figures  # a part of the input is not known
    assert (table[0, 0, 4:] == 128).all() and (table[0, -1, :4] == 0).all() and table[0, -1, 4:].max() == 255


def test_mistakes_are_told_in_a_sentence(free, files, tmp_path):
    one, folder = str(files / "3.png"), str(tmp_path)
    for asked, out, match in (
        (Asked("interpolate", [one], []), None, "there are 1 pictures and --frames is 9; give at least 2 of each"),
        (Asked("mix", [], []), None, "have one level, and mixing takes two"),
        (Asked("attribute", [], []), None, "by --with"),
        (Asked("attribute", [], [], having=["seven"]), None, "no training example is called so; they are 0, 1"),
        (Asked("attribute", [], [], having=[one]), None, "name others that lack the attribute by --without"),
        (Asked("attribute", [], [], having=[one], lacking=["3"]), None, "give one kind"),
        (Asked("outputs", [], [], count=1), None, "--count is 1; give at least 2"),
        (Asked("interpolate", ["none.png", one], []), None, "there is no file none.png"),
        (Asked("interpolate", [one, one], []), one, "which is never overwritten"),
        (Asked("temperature", [], []), f"{folder}/x.jpg", "end it in .png, .gif or .html"),
        (Asked("temperature", [], [], seed=-1), None, "--seed is -1"),
        (Asked("temperature", [], ["3"]), None, "these data give nothing"),
    ):
        with pytest.raises(UserError, match=match):
            edit(str(free), None, [], None, asked, out)


def test_pictures_of_a_run_of_classes_need_theirs(files):
    editor = LatentEditor(kept("vae").trained, 0)
    names = [str(files / f"{digit}.png") for digit in (3, 8)]
    with pytest.raises(UserError, match="sees pictures under their class; give it with --given, for all or for each"):
        edited(editor, Asked("interpolate", names, []))
    with pytest.raises(UserError, match="there are 2 pictures and 3 given"):
        edited(editor, Asked("interpolate", names, ["3", "8", "1"]))
    mixed = edited(editor, Asked("interpolate", names, ["3", "8"], frames=3)).pixels
    same = edited(editor, Asked("interpolate", names, ["3"], frames=3)).pixels
    np.testing.assert_array_equal(mixed[0, 0], same[0, 0])
    assert (mixed[0, 2] != same[0, 2]).any()


def test_a_picture_that_is_given_where_nothing_else_is_given_is_what_samples_begin_from(free, files, tmp_path, capsys):
    three = str(files / "3.png")
    for name, how in (("given", {"given": [three]}), ("begun", {"given": [], "begun": [three]})):
        assert sample(str(free), None, [], None, count=4, out=str(tmp_path / f"{name}.png"), seed=0, **how) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "given.png"), pixels(tmp_path / "begun.png"))
    with pytest.raises(UserError, match="no file"):
        sample(str(free), None, [], None, given=["7"], count=1, out=str(tmp_path / "seven.png"), seed=0)


@pytest.mark.parametrize(
    ("case", "mend"),
    [*((case, "give the picture by --begin") for case in ("vae", "gan", "diffusion-prompts")), ("rnn", "give one in")],
)
def test_a_picture_where_a_class_or_a_prompt_is_given_is_told_with_the_mend(case, mend, files):
    """A model that makes its samples from nothing else, as an RNN does, has no --begin."""
    trained, three = Trained(files, assemble(experiment_of(case)), None, None, 0), str(files / "3.png")
    with pytest.raises(UserError, match=rf"3\.png is a picture, and a class or a text is asked for; {mend}"):
        samples_of(trained, Sampling(trained.assembly), [three], 16, 0, lambda: False)
    if isinstance(trained.assembly.task, Likelihood | Critic):
        with pytest.raises(UserError, match=r"3\.png is a picture, and a class or a text is asked for; give one"):
            list(scores_of(trained, [three], [three]))
    if isinstance(trained.assembly.task, LatentSpace):
        with pytest.raises(UserError, match=r"3\.png is a picture, and a class or a text is asked for; give one"):
            edited(LatentEditor(trained, 0), Asked("temperature", [], [three]))


def test_a_run_of_clips_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="edit is for runs that make still pictures, which this one does not"):
        LatentEditor(explorer("gan-clips").trained, 0)
