"""What is tried is what the experiment has, and applied as --set applies it; losses and gradients stay as they are."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import pytest

from jaxgen.autotuning.knobs import KNOBS, LONGEST_CALL, Candidate, Seen, chosen_knobs, planned
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.nn.remat import Remat
from jaxgen.training.parallel import Parallel

SEEN = Seen(most_devices=2, loops=True, step_seconds=0.01)


def plan(config, seen=SEEN, names=tuple(KNOBS), batches=(), flags=(), **changed):
    experiment = dataclasses.replace(load_experiment(config, Experiment), **changed)
    knobs = planned(experiment, seen, names, batches, flags)
    return experiment, {knob.name: knob.candidates(Candidate()) for knob in knobs}


@pytest.mark.parametrize("family", ["rnn", "transformer", "gan", "vae", "diffusion"])
def test_every_value_is_one_of_the_experiment(family):
    experiment, tried = plan(f"{family}/digits", batches=(32,))
    for candidates in tried.values():
        for candidate in candidates:
            assert set_fields(experiment, candidate.settings) is not None
    assert [one.settings for one in tried["devices"]] == [("parallel.data=1",), ("parallel.data=0",)]
    assert bool(tried["scan"]) == (family in ("transformer", "vae", "diffusion"))
    assert len(tried["remat"]) == len(Remat)  # a GAN's and a VAE's two networks are set together


def test_both_networks_of_a_vae_are_set_alike():
    experiment, tried = plan("vae/digits")
    changed = set_fields(experiment, tried["scan"][0].settings)
    assert changed.task.encoder.scan and changed.task.decoder.scan


def test_what_the_machine_or_the_user_leaves_no_choice_in_is_not_tried():
    _, tried = plan("rnn/digits", Seen(most_devices=1, loops=False, step_seconds=0.01))
    assert not tried["devices"] and not tried["steps_per_call"] and not tried["batch size"] and not tried["XLA flags"]
    _, tried = plan("rnn/digits", parallel=Parallel(fsdp=2))
    assert not tried["devices"]


@pytest.mark.parametrize("step_seconds", [0.0001, 0.01, 0.1, 10.0])
def test_no_call_is_longer_than_is_useful_or_goes_across_an_event(step_seconds):
    experiment, tried = plan("rnn/digits", dataclasses.replace(SEEN, step_seconds=step_seconds))
    counts = [int(one.settings[0].split("=")[1]) for one in tried["steps_per_call"]]
    assert counts[0] == 1 and all(count <= experiment.every.log for count in counts)
    assert all(count * step_seconds <= LONGEST_CALL for count in counts[1:])


def test_a_value_takes_the_place_of_what_the_same_knob_said():
    first = Candidate(("parallel.data=1", "data.batch_size=64"))
    assert first.changed(("data.batch_size=32",)) == Candidate(("parallel.data=1", "data.batch_size=32"))
    assert str(first.changed((), "--xla_a=1")) == "parallel.data=1 data.batch_size=64 XLA_FLAGS='--xla_a=1'"
    assert str(Candidate()) == "as it is"


def test_an_unknown_knob_is_told_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'remat'"):
        chosen_knobs(["remta"])
    assert chosen_knobs(["remat", "devices"]) == ("devices", "remat") and chosen_knobs([]) == tuple(KNOBS)
