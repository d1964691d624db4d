"""Reading run folders: whole ones, killed ones, incomplete ones, damaged ones; and the results beside the page."""
# SPDX-License-Identifier: Apache-2.0

import json
from dataclasses import replace

import pytest

from jaxgen.errors import UserError
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.fields import rows
from jaxgen.reporting.run_view import RunView, labels, read_run, results_json
from tests.reporting.conftest import FIGURES, NET, REFERENCES, metrics, run_folder


def test_a_whole_run_is_read_as_it_was_written(folders):
    for folder, family in zip(folders, FIGURES, strict=True):
        run = read_run(folder)
        assert (run.name, run.family) == (f"{family}-digits", family)
        assert run.metrics == metrics(family)
        assert run.samples == Artefact("png", (folder / "samples" / "3000.png").read_bytes())
        assert run.summary == json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_passed_over_wherever_the_kill_fell(folders, cut):
    path = folders[0] / "metrics.jsonl"
    content, last = path.read_bytes(), '{"step": 3020, "split": "train", "loss": 1.5, "what": "é"}'.encode()
    path.write_bytes(content + last[:-cut])
    assert read_run(folders[0]).metrics == metrics("rnn")
    path.write_bytes(content + last)  # whole but for its line end: it counts
    assert read_run(folders[0]).metrics[-1]["step"] == 3020


def test_a_torn_line_before_the_last_is_an_error_with_its_number(folders):
    path = folders[0] / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"line 2 of .*metrics\.jsonl"):
        read_run(folders[0])


def test_what_a_run_has_not_written_yet_is_empty(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    run = read_run(tmp_path)
    assert (run.family, run.metrics, run.timing, run.samples) == ("", [], [], None)
    assert run.experiment == run.environment == run.summary == {}


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="is no run folder"):
            read_run(path)


@pytest.mark.parametrize("content", ["[1, 2]", '{"steps": ', "\udcff"])
def test_a_damaged_json_file_is_named(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"summary\.json"):
        read_run(tmp_path)


def test_the_newest_sample_is_that_of_the_greatest_step(tmp_path, images):
    folder = run_folder(tmp_path, "rnn", images)
    (folder / "samples" / "20000.txt").write_text("late")
    (folder / "samples" / "9.txt").write_text("early")
    (folder / "samples" / "prompt.txt").write_text("no step")
    assert read_run(folder).samples == Artefact("txt", b"late")
    (folder / "samples" / "40000.png").write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(UserError, match=r"40000\.png is no PNG"):
        read_run(folder)


def test_results_carry_every_figure_and_are_strict_json(folders):
    runs = [read_run(folder) for folder in folders]
    runs[0] = replace(runs[0], summary={**runs[0].summary, "bits_per_dim": float("nan"), "nested": {"a": 1}})
    results = json.loads(json.dumps(results_json(runs, REFERENCES), allow_nan=False))
    assert list(results) == [*FIGURES, "references"]
    assert results["rnn"]["bits_per_dim"] is None and "nested" not in results["rnn"]
    assert results["vae"][f"frechet_distance[{NET}]"] == 6.35 and results["vae"]["run"] == "vae-digits"
    assert results["diffusion"]["parameters"] == 187_905
    assert results["references"] == REFERENCES


def test_a_run_that_starts_from_another_says_so(tuned_folders, folders):
    by_data, by_reward = map(read_run, tuned_folders[:2])
    assert (by_data.start, by_data.tuned_by, by_reward.tuned_by) == ("rnn-digits", "data", "reward")
    assert by_data.before == {"p_fake": 0.39, "discriminator_accuracy": 0.44, "bits_per_dim": 2.717}
    assert by_reward.before == {}
    assert by_data.after["bits_per_dim"] == 1.741 and by_data.samples != by_data.samples_before
    assert by_data.samples_before.content == (tuned_folders[0] / "samples" / "0.png").read_bytes()
    plain = read_run(folders[0])
    assert (plain.start, plain.tuned_by, plain.samples_before, plain.before) == ("", "", None, {})


def test_a_tuning_killed_early_shows_what_there_is(tuned_folders):
    folder = tuned_folders[0]
    (folder / "summary.json").unlink()
    (folder / "samples" / "3000.png").unlink()
    (folder / "samples" / "900.png").unlink()
    (folder / "metrics.jsonl").write_text('{"step": 0, "split": "test", "bits_per_dim": null}\n')
    run = read_run(folder)
    assert run.samples is None and run.samples_before is not None and run.before == run.after == {}
    (folder / "samples" / "0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"0\.png is no PNG"):
        read_run(folder)


@pytest.mark.parametrize("fields", [None, [], {"start": 3}, {"start": None, "rewards": {}}, {"start": ""}])
def test_an_experiment_that_names_no_start_is_a_plain_run(fields):
    assert RunView("", "", {"fields": fields}, {}, [], [], None, {}).tuned_by == ""


def test_tuned_runs_stand_under_tuned_in_the_results(folders, tuned_folders):
    runs = [*map(read_run, folders), *map(read_run, tuned_folders)]
    runs[5] = replace(runs[5], summary={**runs[5].summary, "bits_per_dim": float("inf")})
    results = json.loads(json.dumps(results_json(runs, REFERENCES), allow_nan=False))
    assert list(results) == [*FIGURES, "tuned", "references"]
    assert list(results["tuned"]) == [folder.name for folder in tuned_folders]
    by_data, by_reward = results["tuned"]["rnn-digits_data"], results["tuned"]["gan-digits_reward"]
    assert by_data["before"]["bits_per_dim"] == 2.717 and "bits_per_dim" not in by_data["after"]
    assert by_data["start"] == "rnn-digits" and by_data["frozen_fraction"] == 0.801
    assert (by_reward["family"], by_reward["tuned_by"]) == ("gan", "reward")
    assert by_reward["before"] == {"reward": 0.074} and by_reward["after"]["reward"] == 0.997
    assert list(results_json([runs[5], runs[5]], {})["tuned"]) == ["rnn-digits_data", "rnn-digits_data #2"]


def test_labels_are_all_different(folders):
    vae, gan = read_run(folders[3]), read_run(folders[2])
    assert labels([vae, gan]) == ["vae", "gan"]
    assert labels([vae, replace(vae, name="wide"), gan]) == ["vae/vae-digits", "vae/wide", "gan"]
    assert labels([vae, vae]) == ["vae/vae-digits", "vae/vae-digits #2"]
    assert labels([replace(vae, family="")]) == ["vae-digits"]


def test_fields_stand_under_the_names_that_set_takes(folders):
    fields = dict(rows(read_run(folders[2]).experiment))
    assert fields["task"] == "jaxgen.families.gan.task.Gan"
    assert fields["task.generator.width"] == "128"
    assert fields["task.generator.channels"] == "[]"
    assert fields["data.residence"] == "AUTO"
    assert fields["optimisers.generator.learning_rate.peak"] == "0.001"
    assert fields["steps"] == "9000"


def test_fields_of_the_other_wrappers():
    document = {"layers": [{"type": "jaxgen.a.A", "fields": {"size": {"float": "inf"}}}, 3],
                "kind": {"dtype": "bfloat16"}, "words": {"list": ["a", "b"]}, "none": None, "empty": {}}  # fmt: skip
    assert dict(rows(document)) == {"layers.0": "jaxgen.a.A", "layers.0.size": "inf", "layers.1": "3",
                                    "kind": "bfloat16", "words": '["a", "b"]', "none": "null",
                                    "empty": "{}"}  # fmt: skip
