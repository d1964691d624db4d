"""Checkpoints come back bit for bit; a damaged one is named, put aside, and the newest whole one restored."""
# SPDX-License-Identifier: Apache-2.0

import asyncio
import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest

from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.training.checkpoint import Best, Checkpoints
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine, RateState, peaks_in, with_peaks
from jaxgen.training.step import init_state
from tests.training.test_step import duel

RECORD = {"window": {"loss": [1.1, 3.0]}, "seconds": 0.1 + 0.2}


def state_at(step: int) -> TrainState:
    state = jax.jit(lambda key: init_state(duel(), key, lambda moving: jax.random.key(5)))(jax.random.key(step))
    return state.replace(step=jax.numpy.int32(step))


def same(first: TrainState, second: TrainState) -> bool:
    def plain(state):
        return jax.tree.map(
            np.asarray, state.replace(key=jax.random.key_data(state.key), source=jax.random.key_data(state.source))
        )

    leaves, others = jax.tree.leaves(plain(first)), jax.tree.leaves(plain(second))
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(leaves, others, strict=True))


def save(folder: Path, *steps: int) -> None:
    checkpoints = Checkpoints(folder, keep=3)
    for step in steps:
        checkpoints.save(step, state_at(step), RECORD)
        checkpoints.wait()
    checkpoints.close()


def restore(folder: Path, keep: int | None = 3):
    said: list[str] = []
    checkpoints = Checkpoints(folder, keep)
    found = checkpoints.restore(jax.eval_shape(state_at, 0), said.append)
    checkpoints.close()
    return found, said


def test_what_was_saved_comes_back_bit_for_bit_and_only_the_newest_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4)
    (state, record), said = restore(tmp_path)
    assert same(state, state_at(4)) and record == RECORD and said == []
    assert Checkpoints(tmp_path, keep=None).steps() == [4, 3, 2]


def test_a_checkpoint_from_before_there_was_a_guard_is_read_with_nothing_skipped(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    checkpoints.save(1, state_at(1).replace(skipped={}), RECORD)
    checkpoints.close()
    (state, _), said = restore(tmp_path)
    assert same(state, state_at(1)) and said == []
    assert {name: int(count) for name, count in state.skipped.items()} == {"left": 0, "right": 0}


@pytest.mark.parametrize("rate", [3e-3, Cosine(3e-3, warmup=2)])
def test_a_checkpoint_from_before_rates_were_leaves_goes_on_with_those_of_its_experiment(tmp_path, rate):
    """Then a schedule's count, or nothing, stood in a rate's place (optax's own states)."""
    optimisers = {name: AdamW(rate) for name in duel().optimisers}
    game = replace(duel(), optimisers={name: one.build(9) for name, one in optimisers.items()})
    state = jax.jit(lambda key: init_state(game, key, lambda moving: jax.random.key(5)))(jax.random.key(0))
    counted = jax.tree.map(lambda leaf: leaf + 7 if leaf.dtype == np.int32 else leaf, state.opt_state)

    def before(part):
        if not isinstance(part, RateState):
            return part
        return optax.EmptyState() if isinstance(rate, float) else optax.ScaleByScheduleState(part.count)

    old = jax.tree.map(before, counted, is_leaf=lambda part: isinstance(part, RateState))
    checkpoints = Checkpoints(tmp_path, keep=3)
    checkpoints.save(1, state.replace(step=jax.numpy.int32(1), opt_state=old), RECORD)
    checkpoints.close()
    checkpoints = Checkpoints(tmp_path, keep=3)
    restored, _ = checkpoints.restore(jax.eval_shape(lambda: state), lambda sentence: None)
    checkpoints.close()
    assert np.isnan(peaks_in(restored.opt_state)).all()
    found, wanted = with_peaks(restored.opt_state, peaks_in(state.opt_state)), counted
    if isinstance(rate, float):  # whose count nothing reads
        rates = jax.tree.leaves(wanted, is_leaf=lambda part: isinstance(part, RateState))
        assert sum(isinstance(part, RateState) for part in rates) == len(optimisers)
        wanted = jax.tree.map(
            lambda part: part._replace(count=np.int32(0)) if isinstance(part, RateState) else part,
            wanted,
            is_leaf=lambda part: isinstance(part, RateState),
        )
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_an_empty_folder_has_none(tmp_path):
    assert restore(tmp_path) == (None, [])


def files_of(folder: Path, step: int) -> list[Path]:
    return sorted(
        file for file in (folder / "checkpoints" / str(step)).rglob("*") if file.is_file() and file.stat().st_size
    )


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink], ids=["flipped", "truncated", "deleted"])
def test_no_damage_to_any_file_of_the_newest_checkpoint_gets_through(tmp_path, damage):
    """Each file in turn: either what was saved comes back, or the older checkpoint does and this is told."""
    save(tmp_path / "whole", 1, 2)
    fell_back = 0
    for number in range(len(files_of(tmp_path / "whole", 2))):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        damage(files_of(folder, 2)[number])
        (state, record), said = restore(folder)
        assert record == RECORD
        if said:
            fell_back += 1
            assert same(state, state_at(1))
            assert "the checkpoint of step 2 is damaged" in said[0]
            assert (folder / "damaged" / "checkpoint-2").is_dir() and not (folder / "checkpoints" / "2").exists()
        else:
            assert same(state, state_at(2))
    assert fell_back >= 2  # the arrays' files at the least


def test_reading_alone_changes_nothing_in_the_folder(tmp_path):
    save(tmp_path, 1, 2)
    for file in files_of(tmp_path, 2):
        file.unlink()
    (state, _), said = restore(tmp_path, keep=None)
    assert same(state, state_at(1)) and "an older one is tried" in said[0]
    assert (tmp_path / "checkpoints" / "2").is_dir() and not (tmp_path / "damaged").exists()


def test_a_run_saves_again_where_a_damaged_checkpoint_stood(tmp_path):
    save(tmp_path, 1, 2)
    for file in files_of(tmp_path, 2):
        file.unlink()
    restore(tmp_path)
    save(tmp_path, 2)
    (state, _), said = restore(tmp_path)
    assert same(state, state_at(2)) and said == []


def test_what_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    """A file where the folder of the step should be: the system refuses, as a full disk would."""
    save(tmp_path, 1)
    checkpoints = Checkpoints(tmp_path, keep=3)
    monkeypatch.setattr("os.rename", refuse)
    monkeypatch.setattr("os.replace", refuse)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match=r"could not be written .*No space left.*checkpoint of step 1 is whole"):
        checkpoints.save(2, state_at(2), RECORD)
        checkpoints.wait()


def refuse(*arguments):
    raise OSError(28, "No space left on device")


def test_a_run_whose_every_checkpoint_is_damaged_is_not_begun_again(tmp_path):
    """Beginning again would erase its log; what can be read of it is kept aside."""
    save(tmp_path, 1, 2)
    for step in (1, 2):
        for file in files_of(tmp_path, step):
            file.unlink()
    with pytest.raises(UserError, match=r"no checkpoint of .* is whole; train into another --workdir"):
        restore(tmp_path)
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == ["checkpoint-1", "checkpoint-2"]


def test_a_checkpoint_of_another_network_is_no_damage(tmp_path):
    save(tmp_path, 1)
    other = jax.eval_shape(state_at, 0)
    other = other.replace(params={**other.params, "right": {"bias": other.params["right"]["bias"]}})
    checkpoints = Checkpoints(tmp_path, keep=3)
    with pytest.raises(
        UserError, match=r"step 1 holds params/right/kernel as float32\[3,10\], and the run wants nothing"
    ):
        checkpoints.restore(other, print)
    assert checkpoints.steps() == [1] and not (tmp_path / "damaged").exists()


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    save(tmp_path, 1)
    checkpoints = Checkpoints(tmp_path, keep=3)
    exhausted = lambda tree: (_ for _ in ()).throw(MemoryError())  # noqa: E731
    monkeypatch.setattr("jaxgen.training.checkpoint_reading.leaves_of", exhausted)
    with pytest.raises(MemoryError):
        checkpoints.restore(jax.eval_shape(state_at, 0), print)
    assert checkpoints.steps() == [1] and not (tmp_path / "damaged").exists()


def test_a_save_that_would_write_nothing_is_told(tmp_path):
    save(tmp_path, 2)
    with pytest.raises(UserError, match="as new as step 1 stands there already"):
        save(tmp_path, 1)


def test_what_a_killed_run_had_no_time_to_remove_is_removed_once_the_newest_is_known_to_be_whole(tmp_path):
    save(tmp_path / "before", 1)
    save(tmp_path, 1, 2, 3, 4)
    shutil.copytree(tmp_path / "before" / "checkpoints" / "1", tmp_path / "checkpoints" / "1")
    restore(tmp_path, keep=None)
    assert Checkpoints(tmp_path, keep=None).steps() == [4, 3, 2, 1]
    (state, _), said = restore(tmp_path)
    assert same(state, state_at(4)) and said == []
    assert Checkpoints(tmp_path, keep=None).steps() == [4, 3, 2]


FIGURES = {1: 3.0, 2: 1.0, 3: float("nan"), 4: 2.0, 5: None, 6: 1.5}


@pytest.mark.parametrize(("lower", "kept"), [(True, [6, 5, 2]), (False, [6, 5, 1])])
def test_the_best_is_kept_beside_the_newest_whoever_opens_the_folder_in_between(lower, kept, tmp_path):
    """A step without the figure, or one that is no number, is not it."""
    for steps in ((1, 2, 3), (4, 5, 6)):
        checkpoints = Checkpoints(tmp_path, keep=2, best=Best("loss", lower))
        for step in steps:
            checkpoints.save(step, state_at(step), RECORD | {"regular": True})
            if (figure := FIGURES[step]) is not None:
                checkpoints.evaluated(step, {"loss": figure})
                line = {"step": step, "split": "validation", "loss": None if math.isnan(figure) else figure}
                with open(tmp_path / "metrics.jsonl", "a") as file:
                    file.write(json.dumps(line) + "\n")
        checkpoints.close()
    assert Checkpoints(tmp_path, keep=None).steps() == kept
    assert Checkpoints(tmp_path, keep=None, best=Best("loss", lower)).best() == kept[-1]


def test_what_could_not_be_written_is_told_by_the_next_save_and_loses_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    checkpoints.save(1, state_at(1), RECORD)
    checkpoints.save(1, state_at(1), RECORD)  # a step that stands there already
    with pytest.raises(UserError, match=r"could not be written.*the checkpoint of step 1 is whole"):
        checkpoints.save(2, state_at(2), RECORD)
    checkpoints.close()
    (state, _), _ = restore(tmp_path)
    assert same(state, state_at(1))


def test_the_state_may_change_while_it_is_written(tmp_path):
    """The buffers are the next step's as soon as `save` returns."""
    checkpoints, state = Checkpoints(tmp_path, keep=3), state_at(1)
    more = lambda leaf: leaf + 1 if leaf.dtype == np.float32 else leaf  # noqa: E731
    program = jax.jit(lambda state: jax.tree.map(more, state), donate_argnums=0)
    checkpoints.save(1, state, RECORD)
    for _ in range(20):
        state = program(state)
    checkpoints.close()
    (saved, _), _ = restore(tmp_path)
    assert same(saved, state_at(1))


def test_a_damaged_one_that_was_asked_for_is_named_and_so_are_the_others(tmp_path):
    save(tmp_path, 1, 2)
    flip(max(files_of(tmp_path, 2), key=lambda path: path.stat().st_size))
    checkpoints = Checkpoints(tmp_path, keep=None)
    with pytest.raises(UserError, match=r"of step 2 is damaged .*; kept beside it are 1"):
        checkpoints.restore(jax.eval_shape(state_at, 0), print, 2)
    assert checkpoints.restore(jax.eval_shape(state_at, 0), print, 1) is not None
    checkpoints.close()


def test_only_writes_that_end_after_a_failed_save_are_passed_over(tmp_path, monkeypatch):
    """They call the closed loop from no Python code; the same call by a program, or another error, is told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    for _ in range(2):  # the second adds nothing
        Checkpoints(tmp_path, keep=1).close()
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed") as caught:
        loop.call_soon_threadsafe(print)
    ours, late = caught.value.__traceback__, caught.value.__traceback__.tb_next
    others = (
        SimpleNamespace(exc_value=caught.value, exc_traceback=ours),
        SimpleNamespace(exc_value=ValueError("Event loop is closed"), exc_traceback=late),
    )
    for unraisable in (SimpleNamespace(exc_value=caught.value, exc_traceback=late), *others):
        sys.unraisablehook(unraisable)
    assert told == list(others)
