"""Reads a run folder for the report; nothing in it is executed, and a run killed in mid-line is read all the same."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jaxgen.errors import UserError
from jaxgen.reporting.artefacts import MEDIA, RECORDING, Artefact, read_artefact
from jaxgen.reporting.kept_edits import KeptEdit, read_edits
from jaxgen.reporting.markup import number
from jaxgen.reporting.reasons import REASONS, reasons

FILES = ("experiment.json", "environment.json", "metrics.jsonl", "timing.jsonl", "summary.json")


@dataclass(frozen=True)
class RunView:
    """What a run folder says, as plain data; an empty object, list or None where the run has no such file."""

    name: str
    family: str  # "rnn", "transformer", "gan", "vae", "diffusion", or "" where the experiment names none
    experiment: dict
    environment: dict
    metrics: list[dict]
    timing: list[dict]
    samples: Artefact | None  # the newest
    summary: dict
    samples_before: Artefact | None = None  # from before the first step of a run that starts from another
    data_name: str = ""  # as people call the data
    calibration: Mapping = field(default_factory=dict)  # of the probability of being real
    edits: tuple[KeptEdit, ...] = ()

    @property
    def start(self) -> str:
        """The name of the run folder that this run starts from, or "" for one that starts afresh."""
        match self._field("start"):
            case {"fields": {"run": str(run)}} | str(run):  # older runs hold the folder alone
                return Path(run).name
        return ""

    @property
    def data(self) -> str:
        """Which data it learned from: runs on others are not compared with it."""
        document = self._field("data")
        fields = document.get("fields", {}) if isinstance(document, Mapping) else {}
        if not isinstance(fields, Mapping):
            return ""
        return json.dumps([document.get("type"), fields.get("name") or fields.get("train")]) if fields else ""

    @property
    def tuned_by(self) -> str:
        """What a run that starts from another learns from: "data" or a "reward"; "" for one that starts afresh."""
        if not self.start:
            return ""
        return "reward" if self._field("rewards") else "data"

    @property
    def before(self) -> dict[str, float]:
        """What the evaluation before the first step measured."""
        return _measured(line for line in self.metrics if line.get("step") == 0)

    @property
    def after(self) -> dict[str, float]:
        """The newest evaluation's numbers, and over them those of the summary."""
        newest = _measured(line for line in self.metrics if line.get("step") != 0)
        return {**newest, **_finite(self.summary)}

    def _field(self, name: str) -> object:
        fields = self.experiment.get("fields")
        return fields.get(name) if isinstance(fields, Mapping) else None


def read_run(path: str | os.PathLike) -> RunView:
    """The run folder as a `RunView`. Raises UserError for a folder that is no run and for a file that is damaged."""
    folder = Path(path)
    if not any((folder / name).is_file() for name in FILES):
        raise UserError(f"{folder} is no run folder: it holds none of {', '.join(FILES)}; name a --workdir of `train`")
    experiment = _json_object(folder / "experiment.json")
    view = RunView(
        name=folder.resolve().name,
        family=_family(experiment),
        experiment=experiment,
        environment=_json_object(folder / "environment.json"),
        metrics=_json_lines(folder / "metrics.jsonl"),
        timing=_json_lines(folder / "timing.jsonl"),
        samples=None,
        summary=_json_object(folder / "summary.json"),
        data_name=str(_json_object(folder / "data.json").get("name", "")),
        calibration=_json_object(folder / "calibration.json"),
        edits=read_edits(folder),
    )
    shown = _shown(folder / "samples")
    first = shown.get(0)
    if not view.start:
        return replace(view, samples=_with_recordings(shown[max(shown)] if shown else None))
    newest = shown[max(shown)] if shown and max(shown) else None
    return replace(view, samples=_with_recordings(newest), samples_before=first and read_artefact(first))


def labels(runs: Sequence[RunView]) -> list[str]:
    """A label a run, all different: its family; with its name where two share that; with a number as a last help.

    Of runs on several data sets those on the first run's are called by their families.
    """
    families = Counter((run.data, run.family) for run in runs)
    first = runs[0].data if runs else ""
    alone = [run.family and run.data == first and families[run.data, run.family] == 1 for run in runs]
    plain = [run.family if short else _long_label(run) for run, short in zip(runs, alone, strict=True)]
    return _numbered(plain)


def by_data(runs: Sequence[RunView]) -> list[list[tuple[int, RunView]]]:
    """The runs that can be compared with each other, each with its place among all."""
    groups: dict[str, list[tuple[int, RunView]]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(run.data, []).append((place, run))
    return list(groups.values())


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that came before."""
    seen, result = Counter(), []
    for label in names:
        seen[label] += 1
        result.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return result


def results_json(runs: Sequence[RunView], references: Mapping[str, Mapping[str, float]]) -> dict:
    """The tables as one object for `results.json`: figures a family, and the reference rows under "references".

    Runs that start from others stand under "tuned" by their names, with their figures before and after.

    Names carry their unit (`train_seconds`, `bits_per_dim`); a figure that is not finite is null, as JSON has no NaN.
    """
    plain, tuned = split(runs)
    rows = {label: {"run": run.name, **_figures(run.summary)} for label, run in zip(labels(plain), plain, strict=True)}
    below = {"tuned": dict(zip(_numbered([run.name for run in tuned]), map(_tuned, tuned), strict=True))}
    shown = {name: _figures(figures) for name, figures in references.items()}
    return {**rows, **(below if tuned else {}), "references": shown}


def split(runs: Sequence[RunView]) -> tuple[list[RunView], list[RunView]]:
    """The runs that start afresh, and those that start from others."""
    return [run for run in runs if not run.start], [run for run in runs if run.start]


def _tuned(run: RunView) -> dict[str, object]:
    before, after = run.before, run.after
    if "reward_at_start" in after:
        before["reward"] = after.pop("reward_at_start")
    frozen = after.pop("frozen_fraction", None)
    told = {"family": run.family, "start": run.start, "tuned_by": run.tuned_by, "before": before, "after": after}
    return told if frozen is None else {**told, "frozen_fraction": frozen}


def _measured(lines: Iterable[Mapping[str, object]]) -> dict[str, float]:
    """The numbers of the last of these lines that is an evaluation on held-out data."""
    tests = [line for line in lines if line.get("split") == "test"]
    return {name: value for name, value in _finite(tests[-1]).items() if name != "step"} if tests else {}


def _finite(figures: Mapping[str, object]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if number(value) is not None}


def _figures(summary: Mapping[str, object]) -> dict[str, object]:
    """The numbers and words of a summary, whole numbers whole; and what has a reason to be missing, with the reason."""
    why = reasons(summary)
    missing = {**dict.fromkeys(why), REASONS: dict(why)} if why else {}
    kept = {name: value for name, value in summary.items() if isinstance(value, bool | int | float | str)}
    shown = {
        name: None if isinstance(value, float) and number(value) is None else value for name, value in kept.items()
    }
    return shown | missing


def _long_label(run: RunView) -> str:
    return f"{run.family}/{run.name}" if run.family else run.name


def _family(experiment: dict) -> str:
    """The family whose network or task the document names: `jaxgen.families.FAMILY.FILE.TYPE`."""
    found = re.search(r"\bjaxgen\.families\.([a-z]+)\.", json.dumps(experiment))
    return found[1] if found else ""


def _json_object(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); mend it or delete it") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__} where one JSON object belongs; mend it or delete it")
    return content


def _json_lines(path: Path) -> list[dict]:
    """One object a line. A last line that a kill cut short is passed over; any other bad line is an error."""
    if not path.is_file():
        return []
    lines = path.read_bytes().rstrip().split(b"\n")
    objects = []
    for place, line in enumerate(lines, 1):
        content = _parsed(line)
        if isinstance(content, dict):
            objects.append(content)
        elif place < len(lines):
            raise UserError(f"line {place} of {path} is no JSON object; delete that line")
    return objects


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:  # undecodable bytes are a ValueError as well
        return None


def _shown(folder: Path) -> dict[int, Path]:
    """The files STEP.SUFFIX of each step."""
    files = (path for suffix in MEDIA for path in folder.glob(f"*.{suffix}"))
    return {int(path.stem): path for path in files if path.stem.isdecimal()}


def _with_recordings(path: Path | None) -> Artefact | None:
    """A run's newest samples; where they are texts, with the recordings that these were made for."""
    if path is None:
        return None
    artefact = read_artefact(path)
    if not artefact.is_text:
        return artefact
    files = {file.stem.removeprefix(RECORDING): file for file in path.parent.glob(f"{RECORDING}*.wav")}
    numbers = sorted((number for number in files if number.isdecimal()), key=int)
    return replace(artefact, recordings=tuple(read_artefact(files[number]).content for number in numbers))
