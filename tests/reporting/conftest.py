"""Run folders of the shipped experiments on the digits, with figures that are made up and told beforehand."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.core.masks import Matching
from jaxgen.core.start import Start
from jaxgen.experiment import Experiment
from jaxgen.reporting.grids import image_grid, levels_to_pixels

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NET = "digits-cnn-1a2b"
# family, parameters, train seconds, examples/s, compile seconds, samples/s, bits/dim, bound,
# recognised, Fréchet (net), Fréchet (pixels), precision, recall, two-sample accuracy
FIGURES = {
    "rnn": (118_545, 74.2, 8_420.5, 3.1, 1_950.0, 1.741, "exact", 0.941, 3.92, 5.31, 0.86, 0.71, 0.66),
    "transformer": (205_329, 96.8, 6_610.2, 4.4, 870.0, 1.702, "exact", 0.958, 2.61, 3.87, 0.90, 0.78, 0.61),
    "gan": (162_049, 88.1, 7_050.9, 5.2, 41_300.0, None, None, 0.985, 4.41, 6.02, 0.93, 0.49, 0.72),
    "vae": (94_210, 41.5, 15_820.3, 2.7, 38_100.0, 1.862, "ELBO", 0.902, 6.35, 4.90, 0.79, 0.74, 0.74),
    "diffusion": (187_905, 121.4, 5_270.6, 3.9, 512.0, 1.958, "variational bound", 0.974, 1.93, 2.74, 0.92, 0.83, 0.58),
}
NAMES = ("parameters", "train_seconds", "examples_per_second", "compile_seconds", "samples_per_second", "bits_per_dim",
         "bound", "recognised_fraction", f"frechet_distance[{NET}]", "frechet_distance[pixels]", f"precision[{NET}]",
         f"recall[{NET}]", "two_sample_accuracy")  # fmt: skip
REFERENCES = {
    "real digits": {"recognised_fraction": 0.981, f"frechet_distance[{NET}]": 1.12, "frechet_distance[pixels]": 1.48,
                    f"precision[{NET}]": 0.95, f"recall[{NET}]": 0.94, "two_sample_accuracy": 0.49},
    "per-class pixel histogram": {"bits_per_dim": 2.43, "recognised_fraction": 0.968, f"frechet_distance[{NET}]": 1.79,
                                  "frechet_distance[pixels]": 1.61, f"precision[{NET}]": 0.72,
                                  f"recall[{NET}]": 0.88, "two_sample_accuracy": 0.78},
}  # fmt: skip


def run_folder(parent: Path, family: str, images: np.ndarray, name: str | None = None) -> Path:
    """A whole run folder of this family; `images` are levels 0..16, [N, 8, 8, 1]."""
    folder = parent / (name or f"{family}-digits")
    (folder / "samples").mkdir(parents=True)
    summary = {"steps": 3000, **dict(zip(NAMES, FIGURES[family], strict=True))}
    summary |= {f"{name}/spread": 0.02 * summary[name] for name in summary if "[" in name}
    summary |= {f"diversity[{NET}]": 1.3 - summary[f"precision[{NET}]"] / 2, "classes_drawn": 10.0}
    experiment = experiment_of(family)
    environment = {"python": "3.11.7", "versions": {"jax": "0.10.2", "flax": "0.12.8"}, "devices": ["cpu:0", "cpu:1"],
                   "git_commit": "4f1c2e7"}  # fmt: skip
    (folder / "experiment.json").write_text(json.dumps(to_document(experiment)))
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in metrics(family)))
    (folder / "timing.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in timing(summary)))
    grid = image_grid(levels_to_pixels(images, 17), 10, 5, [str(digit) for digit in range(10)])
    (folder / "samples" / "900.png").write_bytes(b"an older picture that must not be read")
    (folder / "samples" / "3000.png").write_bytes(grid)
    return folder


def tuned_folder(start: Path, way: str, images: np.ndarray) -> Path:
    """A whole run folder that starts from another, tuned by "data" or toward a "reward"."""
    family = start.name.removesuffix("-digits")
    folder = run_folder(start.parent, family, images, f"{start.name}_{way}")
    experiment = experiment_of(family, "digits" if way == "data" else "digits_reward")
    if way == "data":
        faded = dataclasses.replace(experiment.data, name="faded-digits")
        experiment = dataclasses.replace(experiment, data=faded, trainable=Matching("^head/"))
    experiment = dataclasses.replace(experiment, start=Start(str(start)))
    summary = json.loads((folder / "summary.json").read_text()) | {"steps": 300, "frozen_fraction": 0.801}
    lines = [line for line in metrics(family) if line["step"] <= 300]
    if way == "data":
        likelihood = {} if family == "gan" else {"bits_per_dim": 2.717}
        lines.insert(0, {"step": 0, "split": "test", "p_fake": 0.39, "discriminator_accuracy": 0.44, **likelihood})
        summary |= {"p_fake": 0.46, "discriminator_accuracy": 0.54} if family == "gan" else {}
    else:
        drift = {"kl_nats": 6.68} if family in ("rnn", "transformer") else {"squared_distance": 0.284}
        summary |= {"reward_at_start": 0.074, "reward": 0.997, **drift, "diversity": 0.694}
        lines = [line | {"reward": 1 - math.exp(-line["step"] / 60)} for line in lines if line["split"] == "train"]
    (folder / "experiment.json").write_text(json.dumps(to_document(experiment)))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "samples" / "0.png").write_bytes(image_grid(levels_to_pixels(16 - images, 17), 10, 5))
    return folder


@functools.cache
def experiment_of(family: str, config: str = "digits") -> Experiment:
    return load_experiment(CONFIGS / family / f"{config}.py", Experiment)


def metrics(family: str) -> list[dict]:
    """Losses that fall with noise; two players for the GAN, which diverges for one line."""
    noise = np.random.default_rng(0)
    lines = []
    for step in range(20, 3001, 20):
        loss = 1.7 + 1.4 * math.exp(-step / 350)
        jitter = float(noise.normal()) * 0.05
        if family == "gan":
            losses = {"generator/loss": 2.4 - loss / 2 + 3 * jitter, "discriminator/loss": loss / 3 + 2 * jitter,
                      "generator/gradient_norm": 1.0 + abs(jitter) * 20}  # fmt: skip
            losses["generator/loss"] = None if step == 1500 else losses["generator/loss"]
        else:
            losses = {"loss": loss + jitter, "gradient_norm": 0.4 + abs(jitter) * 10, "learning_rate": 1e-3}
        lines.append({"step": step, "split": "train", **losses})
        if step % 300 == 0:
            lines.append({"step": step, "split": "test", **({} if family == "gan" else {"loss": loss + 0.03}),
                          "recognised_fraction": 0.95 - 0.8 * math.exp(-step / 500)})  # fmt: skip
    return lines


def timing(summary: dict) -> list[dict]:
    """A line every 100 steps; the first one carries the compile time."""
    lines = [{"step": step, "seconds": step * summary["train_seconds"] / 3000,
              "examples_per_second": summary["examples_per_second"] * (1 + 0.03 * math.sin(step))}
             for step in range(100, 3001, 100)]  # fmt: skip
    return [{**lines[0], "compile_seconds": summary["compile_seconds"]}, *lines[1:]]


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 17, (100, 8, 8, 1))


@pytest.fixture(scope="session")
def made(tmp_path_factory, images) -> Path:
    """A folder with a run of each family, made once."""
    parent = tmp_path_factory.mktemp("made")
    for family in FIGURES:
        run_folder(parent, family, images)
    return parent


@pytest.fixture
def tuned_folders(folders, images) -> list[Path]:
    """For each of the runs one that is fine-tuned from it and one that is tuned toward a reward."""
    return [tuned_folder(start, way, images) for start in folders for way in ("data", "reward")]


@pytest.fixture
def folders(made, tmp_path) -> list[Path]:
    """A test's own copies of the runs, in the order of FIGURES."""
    return [shutil.copytree(made / f"{family}-digits", tmp_path / f"{family}-digits") for family in FIGURES]
