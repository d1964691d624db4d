"""A run whose folder fails it says so in one sentence, and goes on from its newest checkpoint once that is mended."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxgen.errors import UserError
from jaxgen.running.train_run import train_run
from tests.commands.test_resume import end_of
from tests.running.test_rollback import experiment


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The end of a run that nothing disturbed: 20 steps, a checkpoint every 5, samples at the end."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train_run(experiment(), folder, lambda: False) == 20
    return end_of(folder)


def at_call(number: int, fault: Callable[[], object]) -> Callable[[], bool]:
    """Asked after each call whether to stop: never, but the `number`-th time the fault happens."""
    asked = iter(range(1, 10**6))

    def stopped() -> bool:
        if next(asked) == number:
            fault()
        return False

    return stopped


def saved(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


@pytest.mark.parametrize("empty", [False, True], ids=["gone", "an empty one in its place"])
@pytest.mark.parametrize("call", [2, 8], ids=["no checkpoint yet", "checkpoints of steps 5 and 10"])
def test_a_folder_that_vanishes_is_told_and_nothing_is_begun_in_its_place(empty, call, tmp_path, whole):
    """A disk that is unmounted leaves an empty folder where it was mounted."""
    folder, aside = tmp_path / "run", tmp_path / "aside"

    def vanish() -> None:
        while call == 8 and saved(folder) != [5, 10]:  # nothing is being written
            time.sleep(0.01)
        folder.rename(aside)
        if empty:
            folder.mkdir()

    with pytest.raises(UserError, match=r"run is no more the folder .*put it back and run the same command again"):
        train_run(experiment(), folder, at_call(call, vanish))
    assert folder.exists() == empty and not (empty and any(folder.iterdir()))
    aside.rename(folder)
    assert train_run(experiment(), folder, lambda: False) == 20
    assert end_of(folder) == whole


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl", "samples"])
def test_a_file_that_cannot_be_written_is_told_and_the_newest_checkpoint_kept(name, tmp_path, whole):
    """What stands in its place is of another kind: the system refuses, as a full disk would."""
    folder, aside = tmp_path / "run", tmp_path / "aside"

    def spoil() -> None:
        (folder / name).rename(aside)
        (folder / name).touch() if aside.is_dir() else (folder / name).mkdir()

    with pytest.raises(UserError, match=rf"{name}.* could not be written .*make room, where the disk is full"):
        train_run(experiment(), folder, at_call(8, spoil))  # at step 14
    assert saved(folder) == ([15, 20] if name == "samples" else [5, 10])
    (folder / name).unlink() if aside.is_dir() else (folder / name).rmdir()
    aside.rename(folder / name)
    assert train_run(experiment(), folder, lambda: False) == 20
    assert end_of(folder) == whole
