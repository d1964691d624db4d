"""Pictures of views: one program for all that moves, the run's own samples where nothing is moved, and no file read."""
# SPDX-License-Identifier: Apache-2.0

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import UserError
from jaxgen.play.attribute import Attribute, attribute_from
from jaxgen.play.explorer import refuse_unplayable
from jaxgen.play.view import View
from jaxgen.running.assembly import assemble
from jaxgen.running.bounded import Sampling
from jaxgen.running.sample_run import samples_of
from tests.families.cases import experiment_of
from tests.play.explorers import FEW, explorer, kept

MOVED = {"gan": {"truncation": 0.5}, "vae": {"temperature": 0.5}, "diffusion": {"guidance": 3.0}}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int32)


def seen(case: str, view: View) -> np.ndarray:
    return pixels(kept(case).see(view).artefact.content)


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case != "gan")) for case in MOVED])
def test_all_that_is_moved_is_an_argument_of_one_program(case):
    """Sliders, knobs, seed and class; and each changes the picture."""
    one = explorer(case, FEW.get(case, ()))
    plain = View("3", 5, 3, (0.0,) * 8)
    moved = [
        View("3", 5, 3, (2.0, 0.0, -1.0)),
        View("3", 5, 3, knobs=MOVED[case]),
        View("3", 6, 3),
        View("4", 5, 3),
        View("3", 5, 4),  # the program of three has room for four
    ]
    first = pixels(one.see(plain).artefact.content)
    for view in moved:
        other = pixels(one.see(view).artefact.content)
        assert other.shape != first.shape or (other != first).any(), view
    assert pixels(one.see(plain).artefact.content).tolist() == first.tolist()
    assert one._draw._cache_size() == 1


@pytest.mark.parametrize("case", ["gan", "diffusion"])
def test_with_all_sliders_in_the_middle_they_are_the_samples_of_the_seed(case):
    """As `jaxgen sample --given 3 --count 4 --seed 5` draws them; a rounding may fall the other way."""
    trained = kept(case).trained
    samples = samples_of(trained, Sampling(trained.assembly), ["3"], 4, 5, lambda: False)
    shown, captions = trained.assembly.presentation.show_bare(samples)
    found = kept(case).see(View("3", 5, 4))
    assert found.captions == captions == ("3",) * 4
    assert np.mean(pixels(found.artefact.content) == pixels(shown.content)) > 0.99


def test_without_a_class_each_comes_in_turn():
    assert kept("gan").see(View(count=12)).captions == (*map(str, range(10)), "0", "1")


@pytest.mark.parametrize(("case", "setting"), [("gan", "truncation"), ("vae", "temperature")])
def test_directions_are_those_of_the_run_whatever_the_knobs_are_set_to(case, setting):
    """So that a saved command, which sets the knobs, means the same sliders."""
    other = explorer(case, [f"task.sampler.{setting}=0.25"])
    np.testing.assert_array_equal(other.directions, kept(case).directions)


def test_a_direction_changes_the_picture_more_the_earlier_it_comes():
    """Over 16 samples, by steps small enough for the Jacobian to tell; against the last direction that there is."""
    one = kept("gan")
    apart = one._samples()

    def change(direction: np.ndarray) -> float:
        noise, pictures = apart
        return np.linalg.norm((noise @ direction) @ (pictures - pictures.mean(axis=0)))

    changes = [change(direction) for direction in one.directions]
    assert changes == sorted(changes, reverse=True) and changes[0] > 1.2 * changes[-1]


def test_an_attribute_adds_its_difference_of_noise():
    """One that is a direction moves as that direction's slider does, and is in the command."""
    one = explorer("gan")
    one.attribute = Attribute(("red", "a hat"), ("blue",), (one.directions[2],))
    found = one.see(View("3", attribute=1.5)).artefact.content
    assert found == one.see(View("3", sliders=(0.0, 0.0, 1.5))).artefact.content
    assert found != one.see(View("3")).artefact.content
    command = one.command(View("3", attribute=1.5), Path("x.png"))
    assert "--with red 'a hat' --without blue --attribute=1.5" in command
    with pytest.raises(UserError, match="for a run that was opened with one; name its examples by --with"):
        kept("gan").see(View(attribute=1.0))


def test_pictures_tell_an_attribute_only_where_nothing_is_given(tmp_path):
    (tmp_path / "x.png").touch()
    with pytest.raises(UserError, match="name pictures, which serve where nothing is given"):
        attribute_from(kept("gan").trained, kept("gan").trained.assembly.task.sampler, [str(tmp_path / "x.png")], [])


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (View("seven"), "there is no class 'seven'"),
        (View("10"), "there is no class '10'"),
        (View("-"), "there is no class '-'"),
        (View("setup.py"), "there is no class 'setup.py'"),
        (View(knobs={"truncatoin": 1.0}), "truncatoin is no number of the sampler; did you mean 'truncation'"),
        (View(knobs={"truncation": -1.0}), "truncation is -1"),
        (View(sliders=(0.0,) * 9), "sliders has 9 numbers; give at most 8"),
    ],
    ids=str,
)
def test_what_a_run_cannot_show_is_told_in_a_sentence(view, sentence):
    with pytest.raises(UserError, match=sentence):
        kept("gan").see(view)


def test_a_prompt_is_words_and_never_a_file(tmp_path, monkeypatch):
    """On the command line a word may name a file or stand for standard input; a page must read neither."""
    one = kept("diffusion-prompts")
    assert one.reads_prompt and not one.choices
    found = one.see(View("red above left", count=2))
    assert found.captions == ("red above left",) * 2
    assert (pixels(found.artefact.content) != seen("diffusion-prompts", View("blue below right", count=2))).any()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "red").write_text("blue below right")
    for word in ("red", "-", str(tmp_path)):
        with pytest.raises(UserError, match="names a file; write other words"):
            one.see(View(word))
    for word in (None, "", "  "):
        with pytest.raises(UserError, match="draws what a prompt says; write one"):
            one.see(View(word))
    with pytest.raises(UserError, match="no word that the model was trained with"):
        one.see(View("purple"))


def test_knobs_have_ranges_that_the_sampler_takes():
    one = explorer("diffusion", ["task.sampler=DDIM", "task.sampler.guidance=1.5"])
    assert {knob.name: (knob.value, knob.high) for knob in one.knobs} == {
        "guidance": (1.5, 3.0),
        "guidance_from": (0.0, 2.0),
        "eta": (0.0, 1.0),
    }


def test_a_run_without_a_latent_space_is_refused():
    with pytest.raises(UserError, match=r"makes nothing of noise .* of a GAN, of a VAE whose latents are Gaussian or"):
        refuse_unplayable(assemble(experiment_of("rnn")))
