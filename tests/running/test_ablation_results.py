"""What an ablation's tables, page and best.py say of outcomes that lie in its folder: also of runs that diverged."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import pytest

from jaxgen.ablation import Ablation, Design, Metric
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.early_stopping import MedianStopping
from jaxgen.experiment import Experiment
from jaxgen.running import ablating
from jaxgen.running.ablating import Outcome, put, run_folder
from jaxgen.running.ablation_results import best_member, results_of, tables, write_results
from jaxgen.running.early_stop import EarlyStop
from jaxgen.training.folder import EXPERIMENT, METRICS

BASE = load_experiment("rnn/digits", Experiment)
BITS, FRECHET = "bits_per_dim", "frechet_distance[pixels]"
METRICS_OF = Metric(BITS), Metric(FRECHET)


def measured(folder, ablation, figures):
    """Outcomes of all members, in their order."""
    for member, (bits, frechet) in zip(ablation.members, figures, strict=True):
        outcome = Outcome({BITS: bits, FRECHET: frechet}, 5, 1.0)
        put(folder / "outcomes" / f"{member.name}.json", json.dumps(dataclasses.asdict(outcome)))


def trained(folder, member, lines=()):
    """The folder of a member's run, as far as results read it."""
    run = run_folder(folder, member)
    run.mkdir(parents=True)
    (run / EXPERIMENT).write_text(json.dumps(to_document(member.experiment)))
    (run / METRICS).write_text("\n".join(lines))
    return run


def line(step, **figures):
    return json.dumps({"step": step, "split": "test"} | figures)


def test_a_seed_without_a_figure_is_counted_told_and_never_makes_the_best(tmp_path):
    made = Ablation(BASE, {"task.network.width": (8, 16), "seed": range(3)}, METRICS_OF)
    measured(tmp_path, made, [(2.0, 1.0), (1.0, 1.0), (2.1, 1.0), (None, 1.0), (2.2, 1.0), (None, 1.0)])
    results = results_of(made, tmp_path)
    (_, narrow, wide), _ = tables(made, results)
    assert narrow[1].startswith("2.1") and wide[1:4] == ["1.00 (1 of 3)", "1.00 ± 0", "3"]
    assert results.incomplete == ["2 of 3 runs of width 16 have no finite bits_per_dim"]
    assert best_member(made, results).name == "width 8"


def test_the_page_leaves_out_what_is_not_finite_and_a_torn_line(tmp_path):
    made = Ablation(BASE, {"task.network.width": (8, 16)}, METRICS_OF)
    measured(tmp_path, made, [(2.0, 1.0), (2.1, 1.0)])
    first, second = made.members
    trained(tmp_path, first, [line(5, bits_per_dim=3.0), line(10, bits_per_dim=2.0), '{"step": 15, "spl'])
    trained(tmp_path, second, [line(5, bits_per_dim=3.1), line(10, bits_per_dim=None)])
    write_results(made, results_of(made, tmp_path), tmp_path, "Which width?", "jaxgen ablate")
    assert "width 16" in (tmp_path / "ablation.html").read_text()


def test_best_py_is_the_member_however_its_level_is_written_and_whichever_run_it_was_measured_on(tmp_path):
    def four(of: Experiment) -> Experiment:
        return dataclasses.replace(of, evaluate=dataclasses.replace(of.evaluate, examples=4))

    levels = {"eight": ["evaluate.examples=8"], "four": four, "none": ["evaluate.examples=none", "evaluate.samples=3"]}
    for best in levels:
        folder = tmp_path / best
        made = Ablation(BASE, {"examples": levels}, METRICS_OF)
        measured(folder, made, [(1.0 if member.levels["examples"] == best else 2.0, 1.0) for member in made.members])
        trained(folder, made.members[1])  # the order of levels was another when it was trained
        write_results(made, results_of(made, folder), folder, "How many?", "jaxgen ablate")
        wanted = next(member.experiment for member in made.members if member.levels["examples"] == best)
        assert load_experiment(folder / "best.py", Experiment) == wanted


def test_no_best_py_is_written_that_would_be_another_experiment(tmp_path):
    made = Ablation(BASE, {"task.network.width": (8,)}, METRICS_OF)
    measured(tmp_path, made, [(1.0, 1.0)])
    run = trained(tmp_path, made.members[0])
    (run / EXPERIMENT).write_text(json.dumps({"user": "mine.py:Mine", "fields": {}}))
    write_results(made, results_of(made, tmp_path), tmp_path, "Which?", "jaxgen ablate")
    assert not (tmp_path / "best.py").exists() and "No best.py is written" in (tmp_path / "ablation.html").read_text()


def test_a_run_whose_figures_are_not_finite_is_behind(tmp_path):
    made = Ablation(BASE, {"seed": range(3)}, METRICS_OF)
    own, *others = (
        trained(tmp_path, member, [line(10, bits_per_dim=bits)])
        for member, bits in zip(made.members, (None, 2.0, 3.0), strict=True)
    )
    for run, ends in ((own, True), (others[0], False)):
        stop = EarlyStop(lambda: False, MedianStopping(among=2), METRICS_OF[0], run, {own, *others} - {run})
        assert stop() is ends and stop.ended is ends


@pytest.mark.parametrize("design", [Design.GRID, Design.EACH_EXPERIMENT])
def test_where_experiments_are_compared_each_by_itself_their_runs_are_judged_so(design):
    both = {"rnn": BASE, "transformer": load_experiment("transformer/digits", Experiment)}
    rnn, transformer = Ablation(both, {}, METRICS_OF, design=design).members
    made = Ablation(both, {}, METRICS_OF, design=design)
    assert ablating._compared(made, rnn, transformer) is (design is Design.GRID)
