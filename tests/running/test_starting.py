"""A run that starts from another: surgery, what is new moved alone, moments carried, and a start that cannot serve."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import from_document, to_document
from jaxgen.config.reading import load_experiment
from jaxgen.core.growth import GrowVocabulary, NewHead
from jaxgen.core.low_rank_surgery import AddLowRank, MergeLowRank
from jaxgen.core.masks import Matching, paths
from jaxgen.core.start import OnlyNew, Start
from jaxgen.core.surgery import unstacked
from jaxgen.data.documents import Separated
from jaxgen.data.pictures import Pictures
from jaxgen.data.text import Text
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.rnn_growth import Widen as Rnn
from jaxgen.families.transformer.network import Transformer
from jaxgen.families.transformer.transformer_growth import Deepen, Widen
from jaxgen.running.assembly import assemble
from jaxgen.running.command_line import started_from
from jaxgen.running.data_info import DATA, to_train
from jaxgen.running.starting import START, load_start
from jaxgen.running.study import measured
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.averages import EMA
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.training.schedules import Cosine
from jaxgen.types import LOW_RANK
from tests.commands.test_resume import end_of
from tests.running.test_rollback import experiment, stop_after
from tests.worlds import Duel

NETWORK = Transformer(width=8, heads=2, hidden=8, blocks=1)


def silent(sentence):
    pass


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A finished run on a text, and its experiment; its optimiser clips and its rate has a schedule."""
    folder = tmp_path_factory.mktemp("start")
    path = folder / "text.txt"
    path.write_text("a dog and a log, a cat and a mat. " * 50)
    adam = AdamW(Cosine(peak=1e-2), clip=1.0)
    began = Experiment(
        LanguageModel(NETWORK),
        Text(name=str(path), batch_size=2, length=8),
        {"likelihood": adam},
        steps=4,
        steps_per_call=2,
        averages={"slow": EMA(half_life=10.0)},
        every=Every(),
        parallel=Parallel(data=1),
    )
    assert train_run(began, folder / "run", lambda: False) == 4
    return began, folder / "run"


def started(begun, network=NETWORK, steps=4, trainable=None, **start) -> Experiment:
    before, folder = begun
    task = dataclasses.replace(before.task, network=network)
    data = dataclasses.replace(before.data)
    moved = {} if trainable is None else {"trainable": trainable}
    return dataclasses.replace(before, task=task, data=data, steps=steps, start=Start(str(folder), **start), **moved)


def first_of(begun, tuned, folder):
    """The assembly of a run, and what it starts from."""
    assembly = assemble(to_train(tuned, folder))
    return assembly, load_start(assembly, silent)


def leaves(params):
    return dict(zip(paths(params), jax.tree.leaves(params), strict=True))


def test_it_starts_from_the_average_that_the_run_shows(begun, tmp_path):
    _, start = first_of(begun, started(begun), tmp_path)
    shown = leaves(load_trained(begun[1], None, silent).variables.params)
    found = leaves(start.variables.params)
    assert all((found[path] == shown[path]).all() for path in shown) and not start.moments


def test_grown_and_only_what_is_new_moves(begun, tmp_path, capsys):
    """Stopped at once and resumed it ends the same; read back, it needs its start no more."""
    before, folder = begun
    lent = shutil.copytree(folder, tmp_path / "lent")
    deep = NETWORK.clone(blocks=2)
    tuned = started((before, lent), deep, trainable=OnlyNew(), surgery=(Deepen(),))
    assert train_run(tuned, tmp_path / "whole", lambda: False) == 4
    old = leaves(load_trained(folder, None, silent).variables.params)
    new = leaves(load_trained(tmp_path / "whole", None, silent).variables.params)
    assert all((new[path] == old[path]).all() for path in old)
    assert set(new) - set(old) == {path for path in new if path.startswith("block_1/")}
    assert 0.4 < json.loads((tmp_path / "whole" / "summary.json").read_text())["frozen_fraction"] < 1
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["nats_per_token"] == pytest.approx(kept[-1]["nats_per_token"], abs=1e-5)  # nothing is lost
    assert train_run(tuned, tmp_path / "stopped", stop_after(0)) == 0
    shutil.rmtree(lent)
    assert train_run(tuned, tmp_path / "stopped", lambda: False) == 4
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")
    held = json.loads((tmp_path / "whole" / START).read_text())
    assert set(old) <= set(held["unchanged"])


def test_moments_go_on_with_the_leaves_that_are_as_they_were(begun, tmp_path):
    _, folder = begun
    wide = NETWORK.clone(hidden=12)
    tuned = started(begun, wide, surgery=(Widen(hidden=12),), fresh=Matching("^head/"), moments=True)
    assembly, start = first_of(begun, tuned, tmp_path)
    saved = leaves(Checkpoints(folder, keep=None).restore_saved(silent)[0]["opt_state"])
    state = assembly.init(assembly.key, start.variables, start.moments)
    changed = ("/mlp/in/", "/mlp/out/kernel", "/head/", "/3/count", "/3/peak")  # the last two are the rate's
    assert set(start.moments) == {path for path in saved if not any(part in path for part in changed)}
    for path, leaf in leaves(state.opt_state).items():
        first = tuned.optimisers["likelihood"].learning_rate.peak if path.endswith("/3/peak") else 0
        assert (leaf == (saved[path] if path in start.moments else np.float32(first))).all(), path
    with pytest.raises(UserError, match=r"holds no moments of this experiment's optimisers"):
        load_start(
            assemble(to_train(dataclasses.replace(tuned, optimisers={"likelihood": AdamW(1e-3)}), tmp_path)), silent
        )


@pytest.mark.parametrize("scan", [False, True])
def test_additions_of_low_rank_move_alone_and_are_merged_into_the_network_of_before(scan, begun, tmp_path):
    before = NETWORK.clone(scan=scan)
    added = started(begun, before.clone(low_rank=2), trainable=OnlyNew(), surgery=(AddLowRank(2),))
    assert train_run(added, tmp_path / "added", lambda: False) == 4
    old = leaves(unstacked(load_trained(begun[1], None, silent).variables.params))
    new = leaves(unstacked(load_trained(tmp_path / "added", None, silent).variables.params))
    assert all((new[path] == old[path]).all() for path in old)
    learned = [path for path in new if path not in old]
    assert len(learned) == 4 and all(LOW_RANK in path and new[path].any() for path in learned)
    merged = started((begun[0], tmp_path / "added"), before, surgery=(MergeLowRank(),))
    _, start = first_of(begun, merged, tmp_path)
    found = leaves(unstacked(start.variables.params))
    assert {path for path in old if (found[path] != old[path]).any()} == {
        f"block_0/attention/{layer}/kernel" for layer in ("query_key_value", "out")
    }


def test_a_new_head_comes_from_init(begun, tmp_path):
    assembly, start = first_of(begun, started(begun, surgery=(NewHead(),)), tmp_path)
    fresh = leaves(assembly.task.init(jax.random.fold_in(assembly.key, 0)).params)
    shown = leaves(load_trained(begun[1], None, silent).variables.params)
    for path, leaf in leaves(start.variables.params).items():
        assert (leaf == (fresh if path.startswith("head/") else shown)[path]).all()


def test_a_start_is_stacked_where_the_task_scans(begun, tmp_path):
    scanned = NETWORK.clone(blocks=2, scan=True)
    _, start = first_of(begun, started(begun, scanned, surgery=(Deepen(), NewHead())), tmp_path)
    shown = leaves(load_trained(begun[1], None, silent).variables.params)
    found = leaves(start.variables.params)
    np.testing.assert_array_equal(found["blocks/mlp/in/kernel"][0], shown["block_0/mlp/in/kernel"])
    assert not found["blocks/mlp/out/kernel"][1].any() and not found["head/kernel"].any()


def test_a_warm_up_s_count_is_left_behind_where_there_is_none_and_begins_where_there_was_none(tmp_path):
    """A VAE warmed up and then trained by importance samples, and the other way round."""
    small = ["task.encoder.width=8", "task.decoder.width=8", "task.prior.width=8", "steps=9", "parallel.data=1"]
    small += ["task.importance_samples=1", "data.batch_size=8", "task.prior.layers=2", "steps_per_call=1"]
    plain = set_fields(load_experiment("vae/digits", Experiment), [*small, "task.objective=ImportanceWeightedBound"])
    plain = dataclasses.replace(plain, every=Every())
    warm = set_fields(plain, ["task.objective=EvidenceBound", "task.objective.warmup=5"])
    for name, first, then, count in (("warm", warm, plain, []), ("plain", plain, warm, [0])):
        folder = tmp_path / name
        assert 0 < train_run(first, folder, stop_after(2)) < 9  # a run that has ended would be evaluated and sampled
        start = load_start(assemble(dataclasses.replace(then, start=Start(str(folder)))), silent)
        trained = load_trained(folder, None, silent).variables
        jax.tree.map(np.testing.assert_array_equal, start.variables.params, trained.params)
        assert [leaf.sum() for leaf in jax.tree.leaves(start.variables.extra.shared)][:1] == count


def test_shared_state_is_kept_where_the_start_has_it_and_begins_where_it_has_none(tmp_path):
    """Of a GAN: the sums of D's outputs are always there, the count of pictures with a ramp of DiffAugment alone."""
    small = ["task.generator.width=8", "task.discriminator.width=8", "task.gamma=0", "steps=1", "parallel.data=1"]
    small += ["data.batch_size=8", "task.augment=DiffAugment", "task.augment.strength=0"]
    plain = dataclasses.replace(set_fields(load_experiment("gan/digits", Experiment), small), every=Every())
    train_run(plain, tmp_path / "run", lambda: False)
    ramped = dataclasses.replace(set_fields(plain, ["task.augment.ramp=100"]), start=Start(str(tmp_path / "run")))
    trained, started = load_trained(tmp_path / "run", None, silent), load_start(assemble(ramped), silent)
    before, after = (one.variables.extra.shared for one in (trained, started))
    assert before.seen is None and after.seen == 0
    jax.tree.map(np.testing.assert_array_equal, after.replace(seen=None), before)


def test_a_vocabulary_that_grows_by_what_a_new_text_has(begun, tmp_path):
    """Characters stand in code order, so that the start's move; the run keeps both texts' characters."""
    path = tmp_path / "other.txt"
    path.write_text("a big dog! " * 100)
    tuned = started(begun, surgery=(GrowVocabulary(),))
    tuned = dataclasses.replace(tuned, data=dataclasses.replace(tuned.data, name=str(path)))
    assert train_run(tuned, tmp_path / "run", stop_after(0)) == 0
    folders = begun[1], tmp_path / "run"
    kept = [json.loads((folder / DATA).read_text())["vocabulary"]["characters"] for folder in folders]
    assert set(kept[1]) == {*kept[0], *"big!"} and kept[1] == "".join(sorted(kept[1]))
    old, new = (leaves(load_trained(one, None, silent).variables.params)["token/embedding"] for one in folders)
    places = [kept[1].index(character) for character in kept[0]]
    np.testing.assert_array_equal(new[np.array([*places, len(kept[1])])], old)
    assert train_run(tuned, tmp_path / "run", lambda: False) == 4


def test_documents_bring_their_end_to_a_vocabulary_that_grows_and_keep_it(begun, tmp_path):
    before, table = begun[1], lambda run: leaves(load_trained(run, None, silent).variables.params)
    for number, text in enumerate(("a big dog!\n\n", "a fish?\n\n")):
        path, run = tmp_path / f"{number}.txt", tmp_path / f"run_{number}"
        path.write_text(text * 100)
        tuned = started((begun[0], before), surgery=(GrowVocabulary(),))
        data = dataclasses.replace(tuned.data, name=str(path), documents=Separated())
        assert train_run(dataclasses.replace(tuned, data=data), run, stop_after(0)) == 0
        kept = [json.loads((folder / DATA).read_text())["vocabulary"]["characters"] for folder in (before, run)]
        places = np.array([kept[1].index(character) for character in kept[0]])
        (old, new), size = (table(folder) for folder in (before, run)), len(kept[1])
        assert new["head/kernel"].shape[1] == size + 1 and new["token/embedding"].shape[0] == size + 2
        rows = old["token/embedding"][np.array([*range(len(places)), -1])]
        np.testing.assert_array_equal(new["token/embedding"][np.array([*places, size + 1])], rows)
        np.testing.assert_array_equal(new["head/kernel"][:, places], old["head/kernel"][:, : len(places)])
        if number:
            np.testing.assert_array_equal(new["head/kernel"][:, -1], old["head/kernel"][:, -1])
        before = run


def test_a_run_of_the_users_own_classes_starts_another_in_experiments_too(tmp_path, capsys):
    own = dataclasses.replace(experiment(), task=Duel(), data=Pictures(batch_size=24))
    measured(own, tmp_path / "own", lambda: False)
    tuned = dataclasses.replace(own, start=Start(str(tmp_path / "own"), moments=True), steps=2)
    measured(tuned, tmp_path / "run", lambda: False)
    steps = [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()]
    assert steps == [20, 2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": NETWORK.clone(blocks=2)}, r"block_1/attention/out/bias is missing there .* let start.fresh match"),
        ({"network": NETWORK.clone(hidden=9)}, r"mlp/in/bias is float32\[8\] there and float32\[9\] here"),
        ({"surgery": (Widen(hidden=4),)}, "hidden is 4, and the start has 8"),
        ({"surgery": (Widen(times=2),)}, r"the start has 2 of them; set task.network.heads=4, not 2"),
        ({"fresh": Matching("^haed/")}, r"'\^haed/' matches no parameter"),
        ({"trainable": OnlyNew()}, "finds nothing new"),
    ],
    ids=["leaves", "shapes", "narrower", "heads", "fresh", "nothing new"],
)
def test_a_start_that_does_not_fit(change, sentence, begun, tmp_path):
    with pytest.raises(UserError, match=sentence):
        train_run(started(begun, **change), tmp_path / "run", lambda: False)


def test_a_start_without_a_vocabulary(begun, tmp_path):
    before, folder = begun
    lent = shutil.copytree(folder, tmp_path / "lent")
    held = json.loads((lent / DATA).read_text())
    (lent / DATA).write_text(json.dumps({name: held[name] for name in ("name", "spec", "class_names")}))
    with pytest.raises(UserError, match="keeps no vocabulary"):
        train_run(started((before, lent)), tmp_path / "run", lambda: False)


def test_a_folder_that_is_no_run(begun, tmp_path):
    with pytest.raises(UserError, match="is no run"):
        train_run(started((begun[0], tmp_path)), tmp_path / "run", lambda: False)


def test_a_start_on_the_command_line_and_in_experiment_json():
    plain = Experiment(AdamW(), AdamW(), {}, 1)
    words = ["start=Start", "start.run=runs/a", "start.moments=true", "trainable=OnlyNew"]
    changed = set_fields(plain, [*words, "start.fresh=Matching", "start.fresh.pattern=^head/"])
    assert changed.start == Start("runs/a", fresh=Matching("^head/"), moments=True) and changed.trainable == OnlyNew()
    assert started_from(changed.start, "runs/b") == dataclasses.replace(changed.start, run="runs/b")
    assert started_from(None, "runs/b") == Start("runs/b")
    surgeries = Deepen(2), Widen(hidden=12), GrowVocabulary(3, end=True), NewHead(), Rnn(width=9)
    held = dataclasses.replace(changed, start=Start("runs/a", surgeries))
    assert from_document(to_document(held)) == held
    older = to_document(plain)
    older["fields"]["start"] = "runs/a"  # before there were surgeries
    assert from_document(older).start == Start("runs/a")
